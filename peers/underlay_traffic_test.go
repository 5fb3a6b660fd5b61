// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers_test

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tailscale/wireguard-go/conn"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/peers"
)

// A trafficEnd is one of two Binds that send to each other.
type trafficEnd struct {
	bind   *peers.Bind
	driver *driver
	at     netip.AddrPort
	stream *stream // that it sends
	sent   uint64
}

// update is what an engine does when reopen says so.
func (x *trafficEnd) update(t *testing.T) func(reopen bool, err error) {
	return func(reopen bool, err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
		if reopen {
			x.driver.update(x.at.Port())
		}
	}
}

// Two Binds on the fake network send to each other while their underlays come, go,
// take each other's place and are closed, and their sockets change: nothing is lost,
// comes twice, or is overtaken within a queue.
func TestUnderlayChangesUnderTraffic(t *testing.T) {
	testutil.LeakCheck(t)
	n := newFakeNet()
	n.forgetful = true
	var ends [2]*trafficEnd
	var fns [2][]conn.ReceiveFunc
	for i := range ends {
		host := netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})
		b := peers.NewBindOn(&peers.Options{Sockets: 1}, n.listenAt(host))
		closeAtEnd(t, b)
		var err error
		if fns[i], _, err = b.Open(wgPort); err != nil {
			t.Fatal(err)
		}
		ends[i] = &trafficEnd{bind: b, at: netip.AddrPortFrom(host, wgPort)}
	}
	for i, x := range ends {
		x.stream = newStream(t, x.bind, ends[1-i].at, byte(i+1))
	}
	for i, x := range ends {
		x.driver = newDriver(t, x.bind, fns[i], ends[1-i].stream.see)
	}
	stop := make(chan struct{})
	var sending sync.WaitGroup
	for _, x := range ends {
		sending.Go(func() { x.sent = x.stream.run(stop) })
	}
	direct, passed := int64(0), int64(0)
	for round := range 12 {
		for i, x := range ends {
			update := x.update(t)
			goOn := func() {
				before := ends[1-i].stream.received.Load()
				eventually(t, "traffic goes on", func() bool { return ends[1-i].stream.received.Load() >= before+streamWindow || t.Failed() })
			}
			one, two := newFakeUnderlay(t, n, x.at.Addr(), 1+round%3), newFakeUnderlay(t, n, x.at.Addr(), 2)
			two.pass.Store(round%2 == 0)
			update(peers.SetUnderlay(x.bind, one))
			goOn()
			update(x.bind.Reconfigure(batching.Options{FlushTimeout: time.Duration(round%2) * time.Millisecond}, 1+round%4))
			goOn()
			update(peers.SetUnderlay(x.bind, two))
			goOn()
			one.close()
			update(x.bind.Reconfigure(batching.Options{}, 1))
			if err := x.bind.SetMark(uint32(round)); err != nil {
				t.Error(err)
			}
			goOn()
			update(peers.SetUnderlay(x.bind, nil))
			goOn()
			update(peers.SetUnderlay(x.bind, two)) // the same again
			goOn()
			update(peers.SetUnderlay(x.bind, nil))
			two.close()
			direct += one.direct.Load() + two.direct.Load()
			passed += two.passed.Load()
		}
		if t.Failed() {
			break
		}
	}
	close(stop)
	sending.Wait()
	for i, x := range ends {
		s := x.stream
		for end := time.Now().Add(patience); s.received.Load() < x.sent && time.Now().Before(end) && !t.Failed(); {
			time.Sleep(time.Millisecond)
		}
		if got := s.received.Load(); got != x.sent {
			t.Errorf("%d of %d messages were received; missing, by flow: %s", got, x.sent, s.missing())
		}
		for f, e := range s.ends {
			if st := e.Stats(); st.DroppedClosed+st.DroppedRefused+st.DroppedNoAddress > 0 {
				t.Errorf("flow %d: %+v", f, st)
			}
		}
		if rx := ends[1-i].bind.Stats(); rx.RxErrors != 0 || rx.RxPackets != x.sent {
			t.Errorf("counted %d received and %d errors, want %d and none", rx.RxPackets, rx.RxErrors, x.sent)
		}
	}
	if direct == 0 || passed == 0 {
		t.Errorf("%d sent past the kernel, %d passed on: nothing was put to the test", direct, passed)
	}
}

// Sockets that hold packets back, and an underlay that leaves its own to them: what
// one peer is sent stays in order while it comes and goes.
func TestUnderlayKeepsTheOrder(t *testing.T) {
	testutil.LeakCheck(t)
	o := batching.Options{FlushTimeout: 300 * time.Microsecond}
	from := peers.NewBind(&peers.Options{Socket: o, Sockets: 3, ListenOn: []netip.Addr{localhost}})
	closeAtEnd(t, from)
	fns, port, err := from.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	d := newDriver(t, from, fns, nil)
	to := peers.NewBind(&peers.Options{Sockets: 1, ListenOn: []netip.Addr{localhost}})
	closeAtEnd(t, to)
	fns, at, err := to.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	u := newFakeUnderlay(t, newFakeNet(), localhost, 2)
	u.outside = true
	u.pass.Store(true)

	const peersSent = 3
	var next [peersSent]atomic.Uint32
	var received atomic.Int64
	newDriver(t, to, fns, func(_ int64, msg []byte) {
		peer, seq := binary.LittleEndian.Uint32(msg[8:]), binary.LittleEndian.Uint32(msg[12:])
		if want := next[peer].Load(); seq != want {
			t.Errorf("peer %d: message %d, want %d", peer, seq, want)
		}
		next[peer].Store(seq + 1)
		received.Add(1)
	})
	all := make([]*peers.Endpoint, peersSent)
	for i := range all {
		all[i] = from.Add(peers.Key{9, byte(i)})
		all[i].SetAddr(netip.AddrPortFrom(localhost, at))
	}
	stop, ended := make(chan struct{}), make(chan int64)
	go func() {
		sent := int64(0)
		defer func() { ended <- sent }()
		for seq := uint32(0); !t.Failed(); seq++ {
			for i, e := range all {
				bufs := transport(1, streamSize)
				binary.LittleEndian.PutUint32(bufs[0][headroom+8:], uint32(i))
				binary.LittleEndian.PutUint32(bufs[0][headroom+12:], seq)
				if err := from.Send(bufs, e, headroom); err != nil {
					t.Error(err)
				}
				sent++
			}
			for end := time.Now().Add(patience); sent-received.Load() > streamWindow; time.Sleep(50 * time.Microsecond) {
				if time.Now().After(end) {
					t.Errorf("%d of %d were lost", sent-received.Load(), sent)
					return
				}
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	for range 40 {
		for _, next := range []peers.Underlay{u, nil} {
			reopen, err := peers.SetUnderlay(from, next)
			if err != nil {
				t.Error(err)
			}
			if reopen {
				d.update(port)
			}
			before := received.Load()
			eventually(t, "traffic goes on", func() bool { return received.Load() > before+20 || t.Failed() })
		}
	}
	close(stop)
	sent := <-ended
	eventually(t, "all are received", func() bool { return received.Load() == sent || t.Failed() })
	if u.passed.Load() == 0 {
		t.Error("the underlay sent nothing: nothing was put to the test")
	}
}
