// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching_test

import (
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"golang.org/x/sys/unix"
)

func listenGroup(t *testing.T, n int, o *batching.Options) *batching.Group {
	t.Helper()
	g, err := batching.ListenGroup("udp4", netip.MustParseAddrPort("127.0.0.1:0"), n, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g
}

func waitFor(t *testing.T, cond func() bool) {
	t.Helper()
	testutil.Eventually(t, 20*time.Second, "group", func() error {
		if !cond() {
			return errors.New("not yet")
		}
		return nil
	})
}

// A groupReader reads every member of a group and checks that each sender's
// numbered packets arrive once and, while their sender stays with one socket, in
// order.
type groupReader struct {
	t        *testing.T
	received atomic.Int64
	eofs     atomic.Int64
	wg       sync.WaitGroup

	mu   sync.Mutex
	seen map[netip.AddrPort]map[uint32]bool
}

func (r *groupReader) read(c *batching.Conn, ordered bool) {
	r.wg.Go(func() {
		slab, pkts := make([]byte, wireguardSlab), make([]batching.Packet, batching.MaxBatch)
		last := make(map[netip.AddrPort]uint32)
		for {
			n, err := c.ReadBatch(slab, pkts)
			if errors.Is(err, io.EOF) {
				r.eofs.Add(1)
				c.Close()
				return
			}
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					r.t.Errorf("read: %v", err)
				}
				return
			}
			r.mu.Lock()
			for _, p := range pkts[:n] {
				num := binary.BigEndian.Uint32(slab[p.Offset:])
				if ordered && num <= last[p.Remote] {
					r.t.Errorf("%s: packet %d after %d", p.Remote, num, last[p.Remote])
				}
				last[p.Remote] = num
				if r.seen[p.Remote] == nil {
					r.seen[p.Remote] = make(map[uint32]bool)
				}
				if r.seen[p.Remote][num] {
					r.t.Errorf("%s: packet %d twice", p.Remote, num)
				}
				r.seen[p.Remote][num] = true
			}
			r.mu.Unlock()
			r.received.Add(int64(n))
		}
	})
}

func newGroupReader(t *testing.T) *groupReader {
	return &groupReader{t: t, seen: make(map[netip.AddrPort]map[uint32]bool)}
}

// TestGroupSharesThePort proves that all members receive, that one sender stays
// with one of them, in order, and that a foreign socket cannot take the port.
func TestGroupSharesThePort(t *testing.T) {
	for _, n := range []int{1, 4} {
		testutil.LeakCheck(t)
		g := listenGroup(t, n, nil)
		if len(g.Conns()) != n {
			t.Fatalf("%d members, want %d", len(g.Conns()), n)
		}
		r := newGroupReader(t)
		for _, c := range g.Conns() {
			if c.LocalAddr() != g.LocalAddr() {
				t.Errorf("member at %s, group at %s", c.LocalAddr(), g.LocalAddr())
			}
			r.read(c, true)
		}
		if _, err := batching.ListenGroup("udp4", g.LocalAddr(), 2, nil); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("a second group on the port: got %v, want EADDRINUSE", err)
		}
		const senders, packets = 32, 200
		for range senders {
			sendNumbered(t, g.LocalAddr(), 1, packets)
		}
		waitFor(t, func() bool { return r.received.Load() == senders*packets })
		used := 0
		for _, c := range g.Conns() {
			if c.Stats().Rx.Packets > 0 {
				used++
			}
		}
		// 32 senders miss one of four sockets once in 2,500 times.
		if used < min(n, 3) {
			t.Errorf("%d of %d members received", used, n)
		}
		if len(r.seen) != senders {
			t.Errorf("%d senders, want %d", len(r.seen), senders)
		}
		g.Close()
		r.wg.Wait()
	}
}

// sendNumbered sends packets first, first+1 … from a socket of its own. It stays open
// until the end of the test: its port would be another sender's.
func sendNumbered(t *testing.T, to netip.AddrPort, first uint32, n int) {
	c := listen(t, "udp4", nil)
	dst := batching.NewDestination(to, netip.Addr{}, 0)
	for i := range n {
		p := make([]byte, 100)
		binary.BigEndian.PutUint32(p, first+uint32(i))
		if _, err := c.WriteBatch([][]byte{p}, 0, dst, 0); err != nil {
			t.Error(err)
			return
		}
	}
}

// TestGroupOfOneIsPlain proves that a single socket has a port of its own, also
// after it was one of several.
func TestGroupOfOneIsPlain(t *testing.T) {
	g := listenGroup(t, 1, nil)
	shared := func() int {
		v, err := g.Conns()[0].Sockopt(unix.SOL_SOCKET, unix.SO_REUSEPORT)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if shared() != 0 {
		t.Error("SO_REUSEPORT on a single socket")
	}
	added, err := g.Resize(3)
	if err != nil || len(added) != 2 || shared() != 1 {
		t.Fatalf("resize to 3: %d added, %v, SO_REUSEPORT %d", len(added), err, shared())
	}
	if added, err = g.Resize(1); err != nil || len(added) != 0 || len(g.Conns()) != 1 {
		t.Fatalf("resize to 1: %d added, %v", len(added), err)
	}
	r := newGroupReader(t)
	for _, c := range g.Leaving() {
		r.read(c, true)
	}
	r.wg.Wait()
	if shared() != 0 {
		t.Error("SO_REUSEPORT after all others are gone")
	}
	if _, err := g.Resize(0); err != nil || len(g.Conns()) != 1 {
		t.Errorf("resize to 0: %v, %d members", err, len(g.Conns()))
	}
}

// TestGroupResizeLosesNothing resizes a group again and again while many send.
func TestGroupResizeLosesNothing(t *testing.T) {
	testutil.LeakCheck(t)
	g := listenGroup(t, 1, nil)
	r := newGroupReader(t)
	r.read(g.Conns()[0], false)
	var sent atomic.Int64
	var senders sync.WaitGroup
	stop := make(chan struct{})
	for range 8 {
		c := listen(t, "udp4", nil)
		dst := batching.NewDestination(g.LocalAddr(), netip.Addr{}, 0)
		senders.Go(func() {
			p := make([]byte, 200)
			for num := uint32(1); ; num++ {
				select {
				case <-stop:
					return
				default:
				}
				binary.BigEndian.PutUint32(p, num)
				if _, err := c.WriteBatch([][]byte{p}, 0, dst, 0); err != nil {
					t.Error(err)
					return
				}
				if sent.Add(1)-r.received.Load() > 2000 {
					time.Sleep(time.Millisecond) // the receive buffers are not endless
				}
			}
		})
	}
	left := int64(0)
	for i := range 20 {
		n := []int{4, 2, 3, 1}[i%4]
		before := len(g.Conns())
		added, err := g.Resize(n)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range added {
			r.read(c, false)
		}
		left += int64(max(0, before-n))
		if len(g.Conns()) != n {
			t.Fatalf("%d members, want %d", len(g.Conns()), n)
		}
		time.Sleep(20 * time.Millisecond)
	}
	close(stop)
	senders.Wait()
	waitFor(t, func() bool { return r.eofs.Load() == left })
	waitFor(t, func() bool { return r.received.Load() == sent.Load() })
	t.Logf("%d packets, %d sockets left", sent.Load(), left)
	g.Close()
	r.wg.Wait()
}

// TestGroupReportsFewer proves that sockets that cannot be opened are reported,
// and that those there are receive everything.
func TestGroupReportsFewer(t *testing.T) {
	var text strings.Builder
	g := listenGroup(t, 2, &batching.Options{Logger: slog.New(slog.NewTextHandler(&text, nil))})
	g.FailSockets(syscall.EMFILE)
	added, err := g.Resize(4)
	if err != nil || len(added) != 0 || len(g.Conns()) != 2 {
		t.Fatalf("got %d added, %v, %d members", len(added), err, len(g.Conns()))
	}
	for _, want := range []string{"fewer udp sockets", "asked=4", "open=2", "too many open files"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in the log:\n%s", want, text.String())
		}
	}
	r := newGroupReader(t)
	for _, c := range g.Conns() {
		r.read(c, true)
	}
	for range 16 {
		sendNumbered(t, g.LocalAddr(), 1, 10)
	}
	waitFor(t, func() bool { return r.received.Load() == 160 })
	g.Close()
	r.wg.Wait()
}

func TestGroupClose(t *testing.T) {
	testutil.LeakCheck(t)
	g := listenGroup(t, 3, nil)
	r := newGroupReader(t)
	for _, c := range g.Conns() {
		r.read(c, true)
	}
	if _, err := g.Resize(2); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(g.Close(), g.Close()); err != nil {
		t.Error(err)
	}
	r.wg.Wait()
	_, err := g.Resize(2)
	for _, err := range []error{err, g.Reconfigure(nil), g.SetMark(0)} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close: got %v, want net.ErrClosed", err)
		}
	}
}

// TestGroupOptionsReachAll proves that members opened before and after a change
// have its options.
func TestGroupOptionsReachAll(t *testing.T) {
	g := listenGroup(t, 2, nil)
	if err := g.Reconfigure(&batching.Options{DisableGSO: true, ReceiveBuffer: 200 << 10}); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Resize(3); err != nil {
		t.Fatal(err)
	}
	for i, c := range g.Conns() {
		gso, _, _ := c.Capabilities()
		buffer, err := c.Sockopt(unix.SOL_SOCKET, unix.SO_RCVBUF)
		if gso || err != nil || buffer != 400<<10 {
			t.Errorf("member %d: gso %v, receive buffer %d, %v", i, gso, buffer, err)
		}
	}
}
