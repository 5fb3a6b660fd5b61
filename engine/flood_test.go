// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// A journal keeps lines of a log.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(b)
}

func (j *journal) lines() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Split(strings.TrimSpace(j.b.String()), "\n")
}

// TestFloodIsNotLogged: bad packets, by the thousand and at debug, make few lines, and the
// report says how many there were of which kind, once.
func TestFloodIsNotLogged(t *testing.T) {
	testutil.LeakCheck(t)
	log := new(journal)
	a := newSite(t, 1)
	e, err := engine.New(a.cfg, &engine.Options{
		NoControl: true, ListenOn: []netip.Addr{loopback},
		Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	before := len(log.lines())
	c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, e.ListenPort())))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	const each = 2000
	initiation := make([]byte, 148) // well-formed, with a wrong mac1
	binary.LittleEndian.PutUint32(initiation, 1)
	sent := 0
	for i := range each {
		for _, b := range [][]byte{initiation, []byte("not WireGuard at all, and long enough to be")} {
			if _, err := c.Write(b); err != nil {
				t.Fatal(err)
			}
			sent++
		}
		if i%50 == 49 { // no more than the socket and the handshake queue hold
			testutil.Eventually(t, patience, "all are counted", func() error {
				if n := engine.Dropped(e); n != uint64(sent) {
					return fmt.Errorf("%d of %d", n, sent)
				}
				return nil
			})
		}
	}
	if n := len(log.lines()) - before; n > each/4 {
		t.Errorf("%d packets made %d lines", sent, n)
	}
	start := time.Now()
	look := engine.DropReport(e)
	begin := len(log.lines())
	for minute := range 3 {
		look(start.Add(time.Duration(minute+2) * time.Minute))
	}
	told := log.lines()[begin:]
	if len(told) != 1 || !strings.Contains(told[0], fmt.Sprintf("packets=%d ", sent)) {
		t.Errorf("%d packets are told of by %q", sent, told)
	}
	t.Logf("%s", told)
}
