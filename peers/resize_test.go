// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tailscale/wireguard-go/conn"
	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/peers"
)

var localhost = netip.MustParseAddr("127.0.0.1")

// A stream is numbered messages from one Bind to another, over several peers,
// that is several flows. Few are under way at a time: no buffer overflows.
type stream struct {
	t        *testing.T
	from     *peers.Bind
	ends     []*peers.Endpoint
	flows    []flow
	received atomic.Uint64
}

type flow struct {
	mu   sync.Mutex
	seen []bool
	last map[int64]uint32 // by receive function
}

const (
	// streamWindow is the most messages under way, 128 bytes each: the smallest
	// receive buffer that Linux sets by default, 208 KiB with its overhead of
	// about 768 bytes a message, holds them.
	streamWindow = 128
	streamFlows  = 8
	streamSize   = 128
)

func newStream(t *testing.T, from *peers.Bind, to netip.AddrPort, id byte) *stream {
	s := &stream{t: t, from: from, flows: make([]flow, streamFlows)}
	for i := range s.flows {
		e := from.Add(peers.Key{id, byte(i)})
		e.SetAddr(to)
		s.ends = append(s.ends, e)
		s.flows[i].last = make(map[int64]uint32)
	}
	return s
}

// run sends batches until stop is closed, and returns how many messages.
func (s *stream) run(stop <-chan struct{}) (sent uint64) {
	for seq := uint32(0); ; {
		for f, e := range s.ends {
			bufs := transport(1+int(seq)%8, streamSize)
			for i, buf := range bufs {
				binary.LittleEndian.PutUint32(buf[headroom+8:], uint32(f))
				binary.LittleEndian.PutUint32(buf[headroom+12:], seq+uint32(i))
			}
			fl := &s.flows[f]
			fl.mu.Lock()
			fl.seen = append(fl.seen, make([]bool, len(bufs))...)
			fl.mu.Unlock()
			if err := s.from.Send(bufs, e, headroom); err != nil {
				s.t.Error(err)
			}
			sent += uint64(len(bufs))
		}
		seq = uint32(len(s.flows[0].seen))
		for end := time.Now().Add(patience); sent-s.received.Load() > streamWindow; time.Sleep(50 * time.Microsecond) {
			if time.Now().After(end) {
				s.t.Errorf("%d of %d messages were lost", sent-s.received.Load(), sent)
				return sent
			}
		}
		select {
		case <-stop:
			return sent
		default:
		}
	}
}

// see notes what a receive function received.
func (s *stream) see(reader int64, msg []byte) {
	f, seq := binary.LittleEndian.Uint32(msg[8:]), binary.LittleEndian.Uint32(msg[12:])
	fl := &s.flows[f]
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if last, ok := fl.last[reader]; ok && seq <= last {
		s.t.Errorf("flow %d: message %d after %d on one socket", f, seq, last)
	}
	fl.last[reader] = seq
	if fl.seen[seq] {
		s.t.Errorf("flow %d: message %d came twice", f, seq)
	}
	fl.seen[seq] = true
	s.received.Add(1)
}

// missing lists the messages that were not received.
func (s *stream) missing() string {
	var b strings.Builder
	for i := range s.flows {
		fl := &s.flows[i]
		fl.mu.Lock()
		for seq, seen := range fl.seen {
			if !seen {
				fmt.Fprintf(&b, " %d/%d", i, seq)
			}
		}
		fl.mu.Unlock()
	}
	return b.String()
}

// Two Binds send to each other and change the number of their sockets 50 times
// each, up and down.
func TestResizeUnderTraffic(t *testing.T) {
	for name, tt := range map[string]struct {
		on   netip.Addr
		hold time.Duration
	}{
		"IPv4":         {localhost, 0},
		"IPv6":         {netip.IPv6Loopback(), 0},
		"FlushTimeout": {localhost, 200 * time.Microsecond},
	} {
		t.Run(name, func(t *testing.T) { resizeUnderTraffic(t, tt.on, tt.hold) })
	}
}

func resizeUnderTraffic(t *testing.T, on netip.Addr, hold time.Duration) {
	testutil.LeakCheck(t)
	if err := tryListen(on); err != nil {
		testutil.Missing(t, fmt.Sprintf("loopback address %v: %v", on, err))
	}
	o := batching.Options{FlushTimeout: hold}
	var binds [2]*peers.Bind
	var drivers [2]*driver
	var at [2]netip.AddrPort
	var fns [2][]conn.ReceiveFunc
	for i := range binds {
		binds[i] = peers.NewBind(&peers.Options{Socket: o, Sockets: 1, ListenOn: []netip.Addr{on}})
		closeAtEnd(t, binds[i])
		var port uint16
		var err error
		if fns[i], port, err = binds[i].Open(0); err != nil {
			t.Fatal(err)
		}
		at[i] = netip.AddrPortFrom(on, port)
	}
	var streams [2]*stream
	for i := range streams {
		streams[i] = newStream(t, binds[i], at[1-i], byte(i+1))
	}
	for i := range drivers {
		drivers[i] = newDriver(t, binds[i], fns[i], streams[1-i].see)
	}
	stop := make(chan struct{})
	var sent [2]uint64
	var sending sync.WaitGroup
	for i, s := range streams {
		sending.Go(func() { sent[i] = s.run(stop) })
	}
	used, reopened := [2]int{}, [2]int{}
	for round := range 50 {
		sockets := []int{2, 4, 3, 1, 3, 1}[round%6]
		for i, b := range binds {
			before := streams[1-i].received.Load()
			reopen, err := b.Reconfigure(o, sockets)
			if err != nil {
				t.Fatal(err)
			}
			if reopen {
				reopened[i]++
				drivers[i].update(at[i].Port())
			}
			if b.Port() != at[i].Port() {
				t.Fatalf("port %d has become %d", at[i].Port(), b.Port())
			}
			eventually(t, "traffic goes on", func() bool { return streams[1-i].received.Load() >= before+streamWindow || t.Failed() })
			if sockets == 4 {
				used[i] = max(used[i], busy(b))
			}
		}
		if t.Failed() {
			break
		}
	}
	close(stop)
	sending.Wait()
	for i, s := range streams {
		for end := time.Now().Add(patience); s.received.Load() < sent[i] && time.Now().Before(end) && !t.Failed(); {
			time.Sleep(time.Millisecond)
		}
		if got := s.received.Load(); got != sent[i] {
			t.Errorf("%d of %d messages were received; missing, by flow: %s\nreceiver %+v\nsender %+v", got, sent[i], s.missing(), binds[1-i].Stats(), binds[i].Stats().Sockets)
		}
		var counted uint64
		for f, e := range s.ends {
			st := e.Stats()
			counted += st.TxPackets
			if st.DroppedClosed+st.DroppedRefused+st.DroppedNoAddress > 0 {
				t.Errorf("flow %d: %+v", f, st)
			}
		}
		if counted != sent[i] {
			t.Errorf("%d messages were counted, %d sent", counted, sent[i])
		}
		if rx := binds[1-i].Stats(); rx.RxErrors != 0 || rx.RxPackets != sent[i] {
			t.Errorf("counted %d received and %d errors, want %d and none", rx.RxPackets, rx.RxErrors, sent[i])
		}
		if reopened[i] == 0 || used[i] < 2 {
			t.Errorf("reopened %d times, %d sockets of 4 sent: nothing was put to the test", reopened[i], used[i])
		}
	}
}

// busy returns how many sockets have sent anything.
func busy(b *peers.Bind) (n int) {
	for _, s := range b.Stats().Sockets {
		if s.Tx.Packets > 0 {
			n++
		}
	}
	return n
}

// tryListen reports why the host has no sockets on an address.
func tryListen(on netip.Addr) error {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(on, 0)))
	if err != nil {
		return err
	}
	return c.Close()
}
