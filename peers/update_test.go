// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers_test

import (
	"net/netip"
	"sync"
	"testing"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/peers"
)

// realPair returns two nodes on loopback that know each other, each with one
// socket.
func realPair(t *testing.T) (a, b *node) {
	t.Helper()
	var nodes [2]*node
	for i := range nodes {
		bind := peers.NewBind(&peers.Options{Sockets: 1, ListenOn: []netip.Addr{localhost}})
		closeAtEnd(t, bind)
		nodes[i] = startNode(t, bind, i+1, 0)
		nodes[i].outer = netip.AddrPortFrom(localhost, bind.Port())
	}
	a, b = nodes[0], nodes[1]
	a.peer(b, b.outer)
	b.peer(a, a.outer)
	return a, b
}

// resize changes the number of sockets as an engine does.
func (x *node) resize(sockets int) (reopened bool) {
	x.t.Helper()
	reopen, err := x.bind.Reconfigure(batching.Options{}, sockets)
	if err != nil {
		x.t.Fatal(err)
	}
	if reopen {
		if err := x.dev.BindUpdate(); err != nil {
			x.t.Fatal(err)
		}
	}
	return reopen
}

// pingUntil pings without a pause until stop is closed or a packet is lost, and
// returns how often.
func (x *node) pingUntil(stop <-chan struct{}, to *node) (pings int) {
	for {
		select {
		case <-stop:
			return pings
		default:
			if err := x.tryPing(to); err != nil {
				x.t.Error(err)
				return pings
			}
			pings++
		}
	}
}

// The device goes on while its sockets change. A packet that got lost would not
// be sent again, and its ping never end.
func TestDeviceKeepsPingingThroughUpdates(t *testing.T) {
	testutil.LeakCheck(t)
	a, b := realPair(t)
	a.ping(b)
	b.ping(a)
	handshakes := a.handshake() + b.handshake()
	stop := make(chan struct{})
	var pinging sync.WaitGroup
	pings := [2]int{}
	pinging.Go(func() { pings[0] = a.pingUntil(stop, b) })
	pinging.Go(func() { pings[1] = b.pingUntil(stop, a) })
	updates := 0
	for round := range 30 {
		for _, x := range []*node{a, b} {
			sockets := []int{2, 3, 4, 1}[round%4]
			if x.resize(sockets) {
				updates++
			}
			if got := len(x.bind.Stats().Sockets); got != sockets {
				t.Errorf("%d sockets, want %d", got, sockets)
			}
			if got := x.bind.Port(); got != x.outer.Port() {
				t.Errorf("port %d has become %d", x.outer.Port(), got)
			}
		}
	}
	close(stop)
	pinging.Wait()
	a.ping(b)
	b.ping(a)
	if updates == 0 || pings[0] == 0 || pings[1] == 0 {
		t.Errorf("%d updates, %v pings: nothing was put to the test", updates, pings)
	}
	if got := a.handshake() + b.handshake(); got != handshakes {
		t.Error("there was another handshake")
	}
}

// A device that goes down, or ends, between Reconfigure and BindUpdate.
func TestDeviceEndsBeforeUpdate(t *testing.T) {
	for name, end := range map[string]func(x *node){
		"down": func(x *node) {
			if err := x.dev.Down(); err != nil {
				x.t.Error(err)
			}
		},
		"closed": func(x *node) { x.dev.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			testutil.LeakCheck(t)
			a, b := realPair(t)
			a.ping(b)
			reopen, err := a.bind.Reconfigure(batching.Options{}, 3)
			if err != nil || !reopen {
				t.Fatalf("Reconfigure: reopen %t, %v", reopen, err)
			}
			end(a)
			if err := a.dev.BindUpdate(); err != nil {
				t.Error(err)
			}
			if got := len(a.bind.Stats().Sockets); got != 0 {
				t.Errorf("%d sockets are left", got)
			}
			if name == "closed" {
				return
			}
			if err := a.dev.Up(); err != nil {
				t.Fatal(err)
			}
			if got := len(a.bind.Stats().Sockets); got != 3 {
				t.Errorf("up again with %d sockets, want 3", got)
			}
		})
	}
}
