// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package traffic_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
)

// TestSpokes runs the load generator against a hub of the fork: a foreign
// program that knows nothing of it.
func TestSpokes(t *testing.T) {
	a, b := hosts(t)
	const n, size = 5, 100
	s, err := traffic.NewSpokes(b, lab.B4, n, size)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	traffic.MakeHub(a)
	programs := &lab.Programs{Dir: t.TempDir()}
	hub := lab.StartDevice(a, programs.Implementation(t, lab.ForkName), lab.DeviceOptions{
		Addresses: []string{traffic.HubPrefix.String()}, Peers: s.Peers(),
	})
	if err := s.Connect(a, hub.PublicKey(), netip.AddrPortFrom(lab.A4, lab.Port)); err != nil {
		t.Fatal(err)
	}
	// Keys do not last: a second time, with the hub as it is.
	if err := s.Connect(a, hub.PublicKey(), netip.AddrPortFrom(lab.A4, lab.Port)); err != nil {
		t.Fatal(err)
	}
	for _, direction := range []struct {
		name string
		try  func(int, time.Duration) (traffic.Trial, error)
	}{{"to peers", s.ToPeers}, {"to hub", s.ToHub}} {
		r, err := direction.try(2000, 200*time.Millisecond)
		if err != nil || r.Sent != 400 || r.Received != 400 || r.Duplicated+r.Corrupt != 0 {
			t.Errorf("%s: %s, %v", direction.name, r, err)
		}
	}
	for key, p := range hub.Status().Peers {
		// At least a keepalive, and a packet of each trial.
		if want := int64(2 * (200 * time.Millisecond).Milliseconds()); p.Rx < want || p.Tx < want {
			t.Errorf("peer %s: received %d bytes, sent %d", key, p.Rx, p.Tx)
		}
	}

	// What the hub loses is counted: the fifth of the packets that goes to one peer.
	a.NFT(`table inet lab { chain through { type filter hook forward priority 0; ip daddr 10.88.1.3 drop
	}
	}`)
	r, err := s.ToPeers(2000, 200*time.Millisecond)
	if err != nil || r.Sent != 400 || r.Received != 320 {
		t.Errorf("with one spoke cut off: %s, %v", r, err)
	}
	// What the hub changes is noticed.
	a.NFT(`flush ruleset
	table inet lab { chain through { type filter hook forward priority 0; ip daddr 10.88.1.3 ip dscp set cs1
	}
	}`)
	if r, err = s.ToPeers(2000, 200*time.Millisecond); err != nil || r.Corrupt != 80 || r.Received != 320 {
		t.Errorf("with packets changed: %s, %v", r, err)
	}
	a.NFT(`flush ruleset
	table inet lab { chain in { type filter hook input priority 0; iifname "wg0" udp length 108 @th,800,8 set 1 udp checksum set 0
	}
	}`)
	if r, err = s.ToHub(2000, 200*time.Millisecond); err != nil || r.Received != 0 || r.Corrupt != 400 {
		t.Errorf("with packets to the hub changed: %s, %v", r, err)
	}

	usage, err := hub.Process.Usage()
	if err != nil || usage.CPU <= 0 || usage.PeakMemory < 1<<20 {
		t.Errorf("usage %+v, %v", usage, err)
	}
	hub.Process.Kill()
	if u, err := hub.Process.Usage(); err == nil {
		t.Errorf("an ended process uses %+v", u)
	}
}

func TestSpokesOptions(t *testing.T) {
	for _, o := range []struct{ n, size int }{{1, 200}, {251, 200}, {16, 7}, {16, 1393}} {
		if s, err := traffic.NewSpokes(nil, lab.B4, o.n, o.size); err == nil {
			t.Errorf("%+v makes %v", o, s)
		}
	}
}

func TestFlows(t *testing.T) {
	a, b := hosts(t)
	m, err := traffic.NewFlowsMeter(a, b, lab.A4, lab.B4, 200, 16)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	r, err := m.Try(10000, 200*time.Millisecond)
	if err != nil || r.Sent != 2000 || r.Received != 2000 || r.Duplicated+r.Reordered != 0 {
		t.Errorf("%s, %v", r, err)
	}
	b.NFT(drop)
	if r, err = m.Try(10000, 200*time.Millisecond); err != nil || r.Received != 1900 {
		t.Errorf("with every 20th packet dropped: %s, %v", r, err)
	}
}
