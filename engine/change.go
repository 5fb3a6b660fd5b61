// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"

	"github.com/tailscale/wireguard-go/device"
	"github.com/tailscale/wireguard-go/ipc"
	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/peers"
	"github.com/tunrouter/tunrouter/uapi"
)

// A change collects what one [uapi.SetRequest] means for the device: text for
// the device's own configuration protocol, and the prefixes that nobody owns
// afterwards. It is made and applied under the mutex of the Engine.
//
// The device is told differences only. What stays as it is (the listen port, a
// peer, a prefix) is not mentioned, because the device would reopen its sockets
// or drop a prefix and add it again, and lose packets in between.
type change struct {
	e    *Engine
	text strings.Builder
	dead map[netip.Prefix]struct{} // released, and claimed by nobody so far
}

// applyLocked carries out a set request. It is complete when it returns nil; an
// error leaves what came before it in the request applied, as WireGuard does.
func (e *Engine) applyLocked(r *uapi.SetRequest) error {
	e.hub.BeginChange()
	defer e.hub.EndChange()
	if err := e.applyDeviceLocked(r); err != nil {
		return err
	}
	if r.ReplacePeers {
		e.dev.RemoveAllPeers()
		for key := range e.known {
			e.forgetLocked(key)
		}
	}
	c := &change{e: e, dead: make(map[netip.Prefix]struct{})}
	for i := range r.Peers {
		c.peer(&r.Peers[i])
	}
	// The hub hears first who owns what: the device may take packets from there at
	// once.
	e.updateRoutesLocked(e.hubActive)
	if c.text.Len() > 0 {
		if err := e.dev.IpcSet(c.text.String()); err != nil {
			return ipcError(err)
		}
	}
	if err := c.bury(); err != nil {
		return err
	}
	e.serving.allow(e.clientsLocked(e.cfg))
	return nil
}

func (e *Engine) applyDeviceLocked(r *uapi.SetRequest) error {
	if r.PrivateKey != nil && *r.PrivateKey != e.private {
		if err := e.dev.IpcSet("private_key=" + hex.EncodeToString(r.PrivateKey[:]) + "\n"); err != nil {
			return ipcError(err)
		}
		e.private = *r.PrivateKey
		e.public = publicOf(e.private)
		e.updateIdentityLocked(e.cfg)
		e.forgetLocked(e.public) // the device has removed a peer that has our own key
	}
	if r.FwMark != nil && *r.FwMark != e.mark {
		if err := e.dev.IpcSet(fmt.Sprintf("fwmark=%d\n", *r.FwMark)); err != nil {
			return ipcError(err)
		}
		e.mark = *r.FwMark
		if e.inside != nil {
			e.inside.forget(e.mark)
		}
	}
	if r.ListenPort != nil && *r.ListenPort != e.port {
		bound := e.bind.Port()
		e.bind.SetPort(*r.ListenPort)
		if err := e.dev.IpcSet(fmt.Sprintf("listen_port=%d\n", *r.ListenPort)); err != nil {
			// The device closed its sockets before it found out. Back to the
			// port that worked.
			e.bind.SetPort(e.port)
			back := e.dev.IpcSet(fmt.Sprintf("listen_port=%d\n", bound))
			return ipcError(errors.Join(portError(*r.ListenPort, err), back))
		}
		e.port = *r.ListenPort
	}
	return nil
}

// publicOf returns the public key of a private one; zero for the zero key.
func publicOf(private peers.Key) peers.Key {
	if private == (peers.Key{}) {
		return peers.Key{}
	}
	return peers.Key(config.Key(private).Public())
}

// forgetLocked drops all that the Engine keeps about a peer that the device no
// longer has.
func (e *Engine) forgetLocked(key peers.Key) {
	delete(e.known, key)
	e.allowed.removePeer(key)
	e.bind.Remove(key)
}

func (c *change) linef(format string, args ...any) { fmt.Fprintf(&c.text, format+"\n", args...) }

func (c *change) peer(p *uapi.PeerRequest) {
	e := c.e
	if p.PublicKey == e.public {
		return // a peer with our own key is ignored, as WireGuard does
	}
	_, exists := e.known[p.PublicKey]
	switch {
	case p.Remove:
		if exists {
			e.dev.RemovePeer(p.PublicKey)
			e.forgetLocked(p.PublicKey)
		}
		return
	case p.UpdateOnly && !exists:
		return
	}
	key := hex.EncodeToString(p.PublicKey[:])
	c.linef("public_key=%s", key)
	ep := e.bind.Add(p.PublicKey)
	if p.Endpoint != nil {
		ep.SetName(peers.Name{})
		ep.SetAddr(*p.Endpoint)
	}
	if !exists {
		e.known[p.PublicKey] = struct{}{}
		c.linef("endpoint=%s", key)
	}
	if p.PresharedKey != nil {
		c.linef("preshared_key=%s", hex.EncodeToString(p.PresharedKey[:]))
	}
	if p.PersistentKeepalive != nil {
		c.linef("persistent_keepalive_interval=%d", *p.PersistentKeepalive)
	}
	c.allowedIPs(p)
}

// allowedIPs works out what the peer owns afterwards and tells the device what
// is new to it.
func (c *change) allowedIPs(p *uapi.PeerRequest) {
	own := c.e.allowed
	if p.ReplaceAllowedIPs {
		keep := make(map[netip.Prefix]bool, len(p.AllowedIPs))
		for _, a := range p.AllowedIPs {
			keep[a.Prefix.Masked()] = !a.Remove
		}
		for _, old := range own.of(p.PublicKey) {
			if !keep[old] && own.release(old, p.PublicKey) {
				c.dead[old] = struct{}{}
			}
		}
	}
	for _, a := range p.AllowedIPs {
		prefix := a.Prefix.Masked()
		if a.Remove {
			if own.release(prefix, p.PublicKey) {
				c.dead[prefix] = struct{}{}
			}
			continue
		}
		delete(c.dead, prefix)
		if own.claim(prefix, p.PublicKey) {
			c.linef("allowed_ip=%s", prefix)
		}
	}
}

// bury takes the released prefixes out of the device. Its protocol cannot remove
// a single prefix, and removing all of a peer's and adding the rest again would
// leave a gap. So they move to a peer that is never started, and that peer is
// removed together with them.
func (c *change) bury() error {
	if len(c.dead) == 0 {
		return nil
	}
	var grave device.NoisePublicKey
	if _, err := rand.Read(grave[:]); err != nil {
		return err
	}
	p, err := c.e.dev.NewPeer(grave)
	if err != nil {
		return fmt.Errorf("remove allowed IPs: %w", err)
	}
	prefixes := make([]netip.Prefix, 0, len(c.dead))
	for prefix := range c.dead {
		prefixes = append(prefixes, prefix)
	}
	p.SetAllowedIPs(prefixes)
	c.e.dev.RemovePeer(grave)
	return nil
}

// ipcError gives err the error number that the configuration protocol wants.
func ipcError(err error) error {
	code := int64(ipc.IpcErrorUnknown)
	var de *device.IPCError
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		code = ipc.IpcErrorPortInUse
	case errors.As(err, &de):
		code = de.ErrorCode()
	}
	return &uapi.Error{Errno: code, Err: err}
}
