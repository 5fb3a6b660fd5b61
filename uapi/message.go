// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package uapi

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"
)

// A Key is a private, public or preshared key. All zero means none.
type Key = [32]byte

// A SetRequest is the body of a set operation. Nil pointers leave the value as
// it is.
type SetRequest struct {
	PrivateKey   *Key // zero key: remove the private key
	ListenPort   *uint16
	FwMark       *uint32 // 0: no mark
	ReplacePeers bool    // remove all peers first
	Peers        []PeerRequest
}

// A PeerRequest changes one peer. Requests for the same peer may follow each
// other; they apply in order.
type PeerRequest struct {
	PublicKey           Key
	Remove              bool            // remove the peer; the rest is ignored
	UpdateOnly          bool            // do nothing when the peer is not there
	PresharedKey        *Key            // zero key: none
	Endpoint            *netip.AddrPort // never 4in6
	PersistentKeepalive *uint16         // seconds, 0: off
	ReplaceAllowedIPs   bool            // remove all allowed IPs before AllowedIPs applies
	AllowedIPs          []AllowedIPChange
}

// An AllowedIPChange gives a prefix to a peer, taking it from whoever had it,
// or removes it from the peer.
type AllowedIPChange struct {
	Prefix netip.Prefix // masked
	Remove bool
}

// A Device is the answer to a get operation.
type Device struct {
	PrivateKey Key    // zero: none
	ListenPort uint16 // 0: none
	FwMark     uint32 // 0: none
	Peers      []Peer
	Extra      []KeyValue // keys that are not part of the protocol
}

// A Peer is one peer of a [Device]. The byte counts are of encrypted bytes,
// handshakes and keepalives included.
type Peer struct {
	PublicKey           Key
	PresharedKey        Key            // zero: none
	Endpoint            netip.AddrPort // zero: none known; never 4in6
	LastHandshake       time.Time      // zero: never
	TxBytes, RxBytes    uint64
	PersistentKeepalive uint16 // seconds, 0: off
	AllowedIPs          []netip.Prefix
	Extra               []KeyValue // keys that are not part of the protocol
}

// A KeyValue is a line of a [Device] that the protocol does not define. wg(8)
// and wgctrl ignore such lines as long as they hold exactly one "=".
type KeyValue struct{ Key, Value string }

// String describes d without any key.
func (d Device) String() string {
	return fmt.Sprintf("device with %d peers on port %d", len(d.Peers), d.ListenPort)
}

// LogValue describes d without any key.
func (d Device) LogValue() slog.Value {
	return slog.GroupValue(slog.Int("port", int(d.ListenPort)), slog.Int("peers", len(d.Peers)))
}

// String describes p without its preshared key.
func (p Peer) String() string { return fmt.Sprintf("peer %x… at %v", p.PublicKey[:4], p.Endpoint) }

// String describes r without any key.
func (r SetRequest) String() string { return fmt.Sprintf("set request for %d peers", len(r.Peers)) }

// LogValue describes r without any key.
func (r SetRequest) LogValue() slog.Value {
	return slog.GroupValue(
		slog.Bool("privateKey", r.PrivateKey != nil), slog.Bool("listenPort", r.ListenPort != nil),
		slog.Bool("fwmark", r.FwMark != nil), slog.Bool("replacePeers", r.ReplacePeers),
		slog.Int("peers", len(r.Peers)))
}

// String describes p without its preshared key.
func (p PeerRequest) String() string { return fmt.Sprintf("request for peer %x…", p.PublicKey[:4]) }
