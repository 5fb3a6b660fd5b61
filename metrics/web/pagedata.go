// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package web

import "time"

// PageData is what the status page shows of a router at one moment. Counters count
// from the start of the router; the page shows what became of them in between.
type PageData struct {
	Interface string    `json:"interface"`
	Mode      string    `json:"mode,omitempty"` // tun, netstack, exec, or relay for one alone
	Version   string    `json:"version,omitempty"`
	PublicKey string    `json:"public_key,omitempty"`
	Started   time.Time `json:"-"`
	// Listen are the addresses that the sockets are bound to.
	Listen []string `json:"listen,omitempty"`
	// Forwarding says whether packets go from peer to peer within the router: off, on
	// or isolated.
	Forwarding string       `json:"forwarding,omitempty"`
	Peers      []PagePeer   `json:"-"`
	Relays     []PageRelay  `json:"relays,omitempty"`
	Drops      []PageDrop   `json:"-"`
	Advice     []PageAdvice `json:"advice,omitempty"`
	// RelayServer is what the router does as a relay; nil if it is none.
	RelayServer *PageRelayServer `json:"relay_server,omitempty"`
}

// A PagePeer is a peer.
type PagePeer struct {
	PublicKey string `json:"key"`
	Name      string `json:"name,omitempty"`
	Endpoint  string `json:"endpoint,omitempty"`
	// Path is how packets get there: direct, relay, plain for a peer that is no
	// router, empty when they do not.
	Path string `json:"path,omitempty"`
	// Relay is the ID of the relay that the path leads over.
	Relay string `json:"relay,omitempty"`
	// Hub tells whether packets of other peers are forwarded to this one.
	Hub bool `json:"hub,omitempty"`
	// Latency is the time there and back; 0 when it is not known.
	Latency time.Duration `json:"-"`
	// Loss is the part of the probes that were not answered, from 0 to 1; nil when
	// it is not known.
	Loss *float64 `json:"loss,omitempty"`
	// Handshake is when the last one was completed; zero for none.
	Handshake  time.Time `json:"-"`
	AllowedIPs []string  `json:"allowed_ips,omitempty"`

	RxBytes uint64 `json:"rx_bytes"`
	TxBytes uint64 `json:"tx_bytes"`
}

// A PageRelay is a relay that this router uses.
type PageRelay struct {
	ID      string        `json:"id"` // what PagePeer.Relay says
	Name    string        `json:"name,omitempty"`
	Address string        `json:"address,omitempty"`
	Up      bool          `json:"up"`
	Latency time.Duration `json:"-"` // 0 when it is not known
}

// A PageRelayServer is what a relay does for others.
type PageRelayServer struct {
	Clients       int `json:"clients"`       // that may use it
	Registrations int `json:"registrations"` // clients that are registered now
	Sessions      int `json:"sessions"`      // now
	Bound         int `json:"bound"`         // of the sessions, those with both ends
	// Packets and Bytes were forwarded.
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
	// RxBytes and TxBytes are what its sockets received and sent.
	RxBytes uint64 `json:"-"`
	TxBytes uint64 `json:"-"`
	// Ended are sessions that ended, by reason.
	Ended []PageCount `json:"ended,omitempty"`
}

// A PageCount is a number for one of several reasons.
type PageCount struct {
	Name string `json:"name"`
	N    uint64 `json:"n"`
}

// A PageDrop counts packets that went no further.
type PageDrop struct {
	Stage   string `json:"stage"`
	Reason  string `json:"reason"`
	Packets uint64 `json:"packets"`
}

// A PageAdvice is a condition of the host that hurts.
type PageAdvice struct {
	Severity string `json:"severity"` // info, warning or error
	Text     string `json:"text"`
	Remedy   string `json:"remedy,omitempty"`
}
