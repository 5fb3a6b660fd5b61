// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package uapi_test

import (
	"errors"
	"net/netip"
	"slices"
	"sync"

	"github.com/tunrouter/tunrouter/uapi"
)

// memory is a Handler that keeps a device in memory with the semantics that
// wireguard-go has.
type memory struct {
	mu      sync.Mutex
	dev     uapi.Device
	setErr  error
	reload  func() error
	reloads int
}

func (m *memory) Get() (*uapi.Device, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.dev
	d.Peers = slices.Clone(d.Peers)
	return &d, nil
}

func (m *memory) Reload() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reloads++
	if m.reload == nil {
		return errors.New("nothing to reload")
	}
	return m.reload()
}

func (m *memory) Set(r *uapi.SetRequest) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.setErr != nil {
		return m.setErr
	}
	if r.PrivateKey != nil {
		m.dev.PrivateKey = *r.PrivateKey
	}
	if r.ListenPort != nil {
		m.dev.ListenPort = *r.ListenPort
	}
	if r.FwMark != nil {
		m.dev.FwMark = *r.FwMark
	}
	if r.ReplacePeers {
		m.dev.Peers = nil
	}
	for _, p := range r.Peers {
		m.setPeer(&p)
	}
	return nil
}

func (m *memory) setPeer(r *uapi.PeerRequest) {
	i := slices.IndexFunc(m.dev.Peers, func(p uapi.Peer) bool { return p.PublicKey == r.PublicKey })
	switch {
	case r.Remove && i >= 0:
		m.dev.Peers = slices.Delete(slices.Clone(m.dev.Peers), i, i+1)
		return
	case r.Remove || i < 0 && r.UpdateOnly:
		return
	case i < 0:
		m.dev.Peers = append(m.dev.Peers, uapi.Peer{PublicKey: r.PublicKey})
		i = len(m.dev.Peers) - 1
	}
	p := &m.dev.Peers[i]
	if r.PresharedKey != nil {
		p.PresharedKey = *r.PresharedKey
	}
	if r.Endpoint != nil {
		p.Endpoint = *r.Endpoint
	}
	if r.PersistentKeepalive != nil {
		p.PersistentKeepalive = *r.PersistentKeepalive
	}
	ips := slices.Clone(p.AllowedIPs)
	if r.ReplaceAllowedIPs {
		ips = nil
	}
	for _, c := range r.AllowedIPs {
		ips = slices.DeleteFunc(ips, func(x netip.Prefix) bool { return x == c.Prefix })
		if !c.Remove {
			ips = append(ips, c.Prefix)
		}
	}
	p.AllowedIPs = ips
}

// key returns a key of one repeated byte.
func key(b byte) (k uapi.Key) {
	for i := range k {
		k[i] = b
	}
	return k
}

func ptr[T any](v T) *T { return &v }
