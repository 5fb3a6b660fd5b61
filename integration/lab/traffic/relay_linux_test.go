// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package traffic_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
	"github.com/tunrouter/tunrouter/peers/disco"
	"github.com/tunrouter/tunrouter/peers/relay"
)

// TestRelayMeter runs frames through a relay in this process.
func TestRelayMeter(t *testing.T) {
	a, b := hosts(t)
	keys := []lab.Key{lab.NewKey(), lab.NewKey(), lab.NewKey()}
	relayKey := keys[2]
	var server *relay.Server
	err := b.Do(func() (err error) {
		server, err = relay.New(&relay.Options{
			Identity: disco.NewIdentity(disco.Key(relayKey)), Port: lab.RelayPort,
			Allowed: []disco.Key{disco.Key(keys[0].Public()), disco.Key(keys[1].Public())},
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Run(context.Background()) }()
	defer func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	client := func(key lab.Key) *traffic.RelayClient {
		c, err := traffic.NewRelayClient(a, key, netip.AddrPortFrom(lab.A4, 0), relayKey.Public(), netip.AddrPortFrom(lab.B4, lab.RelayPort))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	// 1,400 bytes are padded to 1,408; 16, 16 and 8 come on top.
	size := traffic.RelayFrame(1400)
	if size != 1448 {
		t.Errorf("a packet of 1400 bytes is a frame of %d", size)
	}
	from, to := client(keys[0]), client(keys[1])
	for _, segments := range []int{7, 1, 1000} {
		m, err := traffic.NewRelayMeter(from, to, size, segments)
		if err != nil {
			t.Fatal(err)
		}
		before := server.Stats()
		for range 2 {
			if r, err := m.Try(20_000, 100*time.Millisecond); err != nil || r.Sent != 2000 || r.Received != 2000 || r.Duplicated+r.Corrupt != 0 {
				t.Errorf("up to %d at once: %s, %v", segments, r, err)
			}
		}
		lab.Wait(t, lab.Patience, "the relay's count", func() error { // which follows the frames
			if n := server.Stats().Frames - before.Frames; n != 4000 {
				return fmt.Errorf("up to %d at once: %d frames", segments, n)
			}
			return nil
		})
	}
	if _, err := traffic.NewRelayMeter(from, to, 20, 1); err == nil {
		t.Error("a frame without room for the headers is accepted")
	}

	// A session that is there, and one that has ended.
	s, err := traffic.Meet(from, to)
	if err != nil {
		t.Fatal(err)
	}
	if known, err := client(keys[0]).Known(s); err != nil || !known {
		t.Errorf("the session is not known: %v", err)
	}
	server.SetAllowed([]disco.Key{disco.Key(keys[0].Public())})
	if known, err := from.Known(s); err != nil || known {
		t.Errorf("the session is still there: %v", err)
	}
	if _, err := from.Allocate(to); err == nil {
		t.Error("there is a session with a client that left")
	}
}
