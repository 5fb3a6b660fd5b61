// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/netstack"
	"github.com/tunrouter/tunrouter/netstack/netstacktest"
)

// testTimeout bounds what never happens when all is well.
const testTimeout = 20 * time.Second

// udpNets returns two hosts in a tunnel: services run on near, far is a peer.
func udpNets(t *testing.T) (near, far *netstack.Net) {
	t.Helper()
	testutil.LeakCheck(t)
	a, b := netstacktest.Pair(t, &netstack.Options{MTU: 1500}, nil)
	return a.Net(), b.Net()
}

// serve runs a service until the end of the test.
func serve(t *testing.T, s interface {
	Run(ctx context.Context) error
	Close() error
}) {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(context.Background()) }()
	var flows *hostFlows // which drop what comes before Run
	switch s := any(s).(type) {
	case *UDPForward:
		if server, ok := s.side.(*udpServer); ok {
			flows = server.flows
		}
	case *SubnetRouter:
		flows = s.udp
	}
	eventually(t, "the service runs", func() error {
		if flows != nil && flows.ctx.Load() == nil {
			return errors.New("not yet")
		}
		return nil
	})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

// answerUDP sends every datagram that c receives back to its sender, until c is
// closed.
func answerUDP(t *testing.T, c net.PacketConn) netip.AddrPort {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		b := make([]byte, 1<<16)
		for {
			n, from, err := c.ReadFrom(b)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				c.WriteTo(b[:n], from)
			}
		}
	})
	t.Cleanup(func() {
		c.Close()
		wg.Wait()
	})
	return addrPortOf(c.LocalAddr())
}

// hostEcho answers at a port of the host, tunnelEcho at one of n.
func hostEcho(t *testing.T, address string) netip.AddrPort {
	t.Helper()
	c, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	c.(*net.UDPConn).SetReadBuffer(1 << 20)
	return answerUDP(t, c)
}

func tunnelEcho(t *testing.T, n *netstack.Net, address string) netip.AddrPort {
	t.Helper()
	c, err := n.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	return answerUDP(t, c)
}

// burst is how many datagrams are under way at a time: fewer than the smallest
// socket buffer on the way holds, and as many as may wait for a flow to open.
const burst = maxPending

// mixed is the burst of datagrams in fragments with others between them, which
// may pass them in the tunnel.
const mixed = 4

// udpSizes are the sizes of datagrams in the exchanges.
func udpSizes() (sizes []int) {
	for i := range 8 * burst {
		switch i / burst {
		case 0:
			sizes = append(sizes, 1200) // all the same
		case 1:
			sizes = append(sizes, i*7%1401)
		case 2:
			sizes = append(sizes, []int{0, 1, 0, 1400, 1400, 1399}[i%6])
		case 3:
			sizes = append(sizes, 4000) // fragments in the tunnel
		case mixed:
			sizes = append(sizes, []int{4000, 20, 0, 1372, 1373}[i%5])
		case 5:
			sizes = append(sizes, 4)
		case 6:
			sizes = append(sizes, 0)
		default:
			sizes = append(sizes, 1400-i%3)
		}
	}
	return sizes
}

// payload returns datagram i of an exchange, different from all others of its
// size where that is possible.
func payload(id, i, size int) []byte {
	b := bytes.Repeat([]byte{byte(i + id)}, size)
	var mark [8]byte
	binary.BigEndian.PutUint32(mark[:], uint32(id))
	binary.BigEndian.PutUint32(mark[4:], uint32(i))
	copy(b, mark[:])
	return b
}

// exchange sends datagrams through c, whose other end sends them back, in bursts,
// and fails unless all come back in order.
//
// large is held while long datagrams are under way, of which a socket buffer does
// not hold many.
func exchange(c net.Conn, id int, large *sync.Mutex) error {
	c.SetDeadline(time.Now().Add(testTimeout))
	b := make([]byte, 1<<16)
	sizes := udpSizes()
	exchangeBurst := func(first int) error {
		if slices.Max(sizes[first:first+burst]) > 1500 {
			large.Lock()
			defer large.Unlock()
		}
		for i := first; i < first+burst; i++ {
			if _, err := c.Write(payload(id, i, sizes[i])); err != nil {
				return fmt.Errorf("datagram %d: %w", i, err)
			}
		}
		var got, want []string
		for i := first; i < first+burst; i++ {
			n, err := c.Read(b)
			if err != nil {
				return fmt.Errorf("datagram %d of %d bytes: %w", i, sizes[i], err)
			}
			got = append(got, string(b[:n]))
			want = append(want, string(payload(id, i, sizes[i])))
		}
		if first == mixed*burst {
			slices.Sort(got)
			slices.Sort(want)
		}
		for i := range want {
			if got[i] != want[i] {
				return fmt.Errorf("datagram %d: got %d bytes %.8x, want %d bytes %.8x", first+i, len(got[i]), got[i], len(want[i]), want[i])
			}
		}
		return nil
	}
	for first := 0; first < len(sizes); first += burst {
		if err := exchangeBurst(first); err != nil {
			return err
		}
	}
	return nil
}

// exchangeMany exchanges through many connections at a time.
func exchangeMany(t *testing.T, n int, dial func() (net.Conn, error)) {
	t.Helper()
	var wg sync.WaitGroup
	var large sync.Mutex
	for id := range n {
		c, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer c.Close()
			if err := exchange(c, id, &large); err != nil {
				t.Errorf("client %d: %v", id, err)
			}
		})
	}
	wg.Wait()
}

// wantCounted fails unless s has counted the exchanges of so many clients. The last
// datagram is counted after it was sent.
func wantCounted(t *testing.T, s interface{ Stats() Stats }, clients uint64) {
	t.Helper()
	want := clients * uint64(len(udpSizes()))
	eventually(t, "everything is counted", func() error {
		if st := s.Stats(); st.DatagramsOut != want || st.DatagramsIn != want || st.Accepted != clients || st.Active != int(clients) || st.BytesIn != st.BytesOut {
			return fmt.Errorf("%+v, want %d datagrams each way of %d clients", st, want, clients)
		}
		return nil
	})
	noDrops(t, s.Stats())
}

// noDrops fails the test when s has dropped something.
func noDrops(t *testing.T, s Stats) {
	t.Helper()
	if s.Drops != (DatagramDrops{}) || s.DialFailures.Sum() != 0 || s.Refused != 0 {
		t.Errorf("dropped: %+v, dial failures %+v, refused %d", s.Drops, s.DialFailures, s.Refused)
	}
}

// eventually waits until cond returns nil.
func eventually(t *testing.T, what string, cond func() error) {
	t.Helper()
	testutil.Eventually(t, testTimeout, what, cond)
}

// openFiles returns the number of open files, 0 where nobody knows.
func openFiles() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	return len(entries)
}
