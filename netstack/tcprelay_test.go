// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/netstack"
	"github.com/tunrouter/tunrouter/netstack/netstacktest"
)

// socketPair returns both ends of a TCP connection of the system.
func socketPair(tb testing.TB) (near, far *net.TCPConn) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	d, err := l.Accept()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close(); d.Close() })
	return c.(*net.TCPConn), d.(*net.TCPConn)
}

// A counted socket is one that a program counts the bytes of.
type counted struct {
	*net.TCPConn
	n int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	c.n += int64(n)
	return n, err
}

// relay moves bytes both ways, passing on what each side says about its end.
func relay(tb testing.TB, tun net.Conn, host *net.TCPConn) {
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := tun.(io.WriterTo).WriteTo(host); err == nil {
			host.CloseWrite()
		}
	})
	if _, err := tun.(io.ReaderFrom).ReadFrom(host); err == nil {
		tun.(interface{ CloseWrite() error }).CloseWrite()
	}
	wg.Wait()
	tun.Close()
	host.Close()
}

// TestRelay moves several MiB both ways at once through a relay, half-closes,
// and checks that superpackets were full.
func TestRelay(t *testing.T) {
	testutil.LeakCheck(t)
	a, b := netstacktest.Pair(t, nil, nil)
	client, tun := connect(t, a.Net(), b.Net(), netstacktest.B4)
	defer client.Close()
	host, server := socketPair(t)
	var wg sync.WaitGroup
	wg.Go(func() { relay(t, tun, host) })
	exchange(t, client, server, 8<<20)
	wg.Wait()
	var packets, supers uint64
	for _, q := range b.Stats().Queues {
		packets += q.Packets
		supers += q.Superpackets
	}
	// 44 fit, see gsoMaxSize; acknowledgements are among the packets, and
	// exchange writes less than that at times.
	if supers == 0 || packets/supers < 15 {
		t.Errorf("%d packets, %d superpackets", packets, supers)
	}
}

// TestRelayResults holds ReadFrom and WriteTo to what io.Copy returns.
func TestRelayResults(t *testing.T) {
	testutil.LeakCheck(t)
	a, b := netstacktest.Pair(t, nil, nil)
	broken := errors.New("broken")
	const size = 700_000
	pair := func(t *testing.T) (c, d net.Conn) {
		c, d = connect(t, a.Net(), b.Net(), netstacktest.B4)
		t.Cleanup(func() { c.Close(); d.Close() })
		return c, d
	}
	for _, tt := range []struct {
		name string
		from func(host *net.TCPConn) io.Reader // of what the peer of host sends
		want error
		read int64
	}{
		{"socket", func(h *net.TCPConn) io.Reader { return h }, nil, size},
		{"counted socket", func(h *net.TCPConn) io.Reader { return &counted{TCPConn: h} }, nil, size},
		{"limited", func(h *net.TCPConn) io.Reader { return io.LimitReader(h, 1000) }, nil, 1000},
		{"last bytes with EOF", func(h *net.TCPConn) io.Reader { return iotest.DataErrReader(h) }, nil, size},
		{"read error", func(h *net.TCPConn) io.Reader {
			return io.MultiReader(io.LimitReader(h, 1000), iotest.ErrReader(broken))
		}, broken, 1000},
		{"closed", func(h *net.TCPConn) io.Reader { h.Close(); return h }, net.ErrClosed, 0},
		{"deadline of the source", func(h *net.TCPConn) io.Reader { h.SetReadDeadline(time.Now()); return h }, os.ErrDeadlineExceeded, 0},
	} {
		t.Run("ReadFrom "+tt.name, func(t *testing.T) {
			c, d := pair(t)
			host, server := socketPair(t)
			go func() {
				server.Write(pattern(size))
				server.Close()
			}()
			got := make(chan []byte, 1)
			go func() {
				b, _ := io.ReadAll(d)
				got <- b
			}()
			n, err := c.(io.ReaderFrom).ReadFrom(tt.from(host))
			if n != tt.read || !errors.Is(err, tt.want) {
				t.Errorf("%d bytes, %v; want %d, %v", n, err, tt.read, tt.want)
			}
			c.Close()
			if b := <-got; !bytes.Equal(b, pattern(size)[:tt.read]) {
				t.Errorf("%d bytes arrived, or not those that were sent", len(b))
			}
		})
	}

	for _, tt := range []struct {
		name    string
		to      func(w io.Writer) io.Writer
		want    error
		written int64
	}{
		{"all", func(w io.Writer) io.Writer { return w }, nil, size},
		{"failing", func(w io.Writer) io.Writer { return failing{broken} }, broken, 3},
		{"short", func(w io.Writer) io.Writer { return failing{} }, io.ErrShortWrite, 3},
	} {
		t.Run("WriteTo "+tt.name, func(t *testing.T) {
			c, d := pair(t)
			go func() {
				d.Write(pattern(size))
				d.Close()
			}()
			n, err := c.(io.WriterTo).WriteTo(tt.to(io.Discard))
			if n != tt.written || !errors.Is(err, tt.want) {
				t.Errorf("%d bytes, %v; want %d, %v", n, err, tt.written, tt.want)
			}
		})
	}
}

// failing takes 3 bytes and fails with err.
type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 3, f.err }

// TestRelayEnds ends relays that wait: by deadlines, by Close, by the device
// and by resets of the peer, in both directions.
func TestRelayEnds(t *testing.T) {
	testutil.LeakCheck(t)
	type end struct {
		tun, peer net.Conn
		device    *netstack.Device
	}
	for _, tt := range []struct {
		name string
		end  func(e end)
		want error
	}{
		{"deadline", func(e end) { e.tun.SetDeadline(time.Now()) }, os.ErrDeadlineExceeded},
		{"close", func(e end) { e.tun.Close() }, net.ErrClosed},
		{"device", func(e end) { e.device.Close() }, net.ErrClosed},
		{"reset", func(e end) {
			e.peer.(interface{ SetLinger(int) error }).SetLinger(0)
			e.peer.Close()
		}, syscall.ECONNRESET},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := netstacktest.Pair(t, &netstack.Options{SendBuffer: 64 << 10, ReceiveBuffer: 64 << 10}, nil)
			peer, tun := connect(t, a.Net(), b.Net(), netstacktest.B4)
			defer peer.Close()
			defer tun.Close()
			read, write := make(chan error, 1), make(chan error, 1)
			filled := make(chan struct{})
			go func() {
				_, err := tun.(io.WriterTo).WriteTo(io.Discard)
				read <- err
			}()
			go func() {
				// More than all buffers hold: it waits for room.
				src := &signalling{after: 1 << 20, reached: filled}
				_, err := tun.(io.ReaderFrom).ReadFrom(src)
				write <- err
			}()
			go func() { // makes room for what filled says, and no more
				io.CopyN(io.Discard, peer, 1<<20)
			}()
			<-filled
			tt.end(end{tun, peer, b})
			wantOpError(t, <-read, "read", tt.want)
			wantOpError(t, <-write, "write", tt.want)
		})
	}
}

// signalling is an endless reader that tells when enough was read of it.
type signalling struct {
	n, after int
	reached  chan struct{}
}

func (s *signalling) Read(b []byte) (int, error) {
	if s.n < s.after && s.n+len(b) >= s.after {
		close(s.reached)
	}
	s.n += len(b)
	return len(b), nil
}

// TestIdleRelays checks what a relay costs that has nothing to do: no buffers.
func TestIdleRelays(t *testing.T) {
	testutil.LeakCheck(t)
	n := 2000
	if raceEnabled {
		n = 300 // it takes 40 s otherwise
	}
	a, b := netstacktest.Pair(t, nil, nil)
	l, err := b.Net().Listen("tcp", netip.AddrPortFrom(netstacktest.B4, 80).String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tun := make([]net.Conn, n)
	far := make([]net.Conn, n)
	open := func(i int) {
		t.Helper()
		c, err := a.Net().DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		far[i] = c
		if tun[i], err = l.Accept(); err != nil {
			t.Fatal(err)
		}
	}
	before := heapInUse()
	for i := range n {
		open(i)
	}
	conns := (heapInUse() - before) / int64(n) / 2 // both ends are here
	hosts, servers := make([]*net.TCPConn, n), make([]*net.TCPConn, n)
	for i := range n {
		hosts[i], servers[i] = socketPair(t)
	}
	before = heapInUse()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { relay(t, tun[i], hosts[i]) })
	}
	// Each has moved something, so that stacks have grown and buffers been used.
	buf := make([]byte, 8)
	for i := range n {
		for _, end := range [][2]net.Conn{{far[i], servers[i]}, {servers[i], far[i]}} {
			end[0].Write([]byte("12345678"))
			if _, err := io.ReadFull(end[1], buf); err != nil {
				t.Fatal(err)
			}
		}
	}
	relays := (heapInUse() - before) / int64(n)
	t.Logf("%d bytes a connection, %d a relay", conns, relays)
	// 18 KiB measured, 8 of them stacks.
	if conns+relays > 32<<10 {
		t.Errorf("an idle connection is %d bytes and its relay %d", conns, relays)
	}
	for i := range n {
		far[i].Close()
		servers[i].Close()
	}
	wg.Wait()
}

// BenchmarkRelay pumps from a socket of the system into the tunnel, and the
// other way, as a port forward does: with the relay's own way and with io.Copy.
func BenchmarkRelay(b *testing.B) {
	type way struct {
		name string
		copy func(to, from net.Conn) (int64, error)
	}
	const chunk = 256 << 10
	for _, w := range []way{
		{"own", func(to, from net.Conn) (int64, error) {
			if r, ok := to.(*net.TCPConn); ok {
				return from.(io.WriterTo).WriteTo(r)
			}
			return to.(io.ReaderFrom).ReadFrom(from)
		}},
		{"copy", func(to, from net.Conn) (int64, error) {
			return io.Copy(struct{ io.Writer }{to}, struct{ io.Reader }{from})
		}},
	} {
		for _, out := range []bool{true, false} {
			b.Run(fmt.Sprintf("%s/out-%v", w.name, out), func(b *testing.B) {
				x, y := netstacktest.Pair(b, nil, nil)
				peer, tun := connect(b, x.Net(), y.Net(), netstacktest.B4)
				host, server := socketPair(b)
				defer peer.Close()
				defer tun.Close()
				from, in, to, dst := net.Conn(server), net.Conn(host), tun, peer
				if !out {
					from, in, to, dst = peer, tun, net.Conn(host), net.Conn(server)
				}
				go w.copy(to, in)
				b.SetBytes(chunk)
				b.ReportAllocs()
				b.ResetTimer()
				go func() {
					buf := make([]byte, chunk)
					for range b.N {
						from.Write(buf)
					}
				}()
				buf := make([]byte, chunk)
				if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{io.LimitReader(dst, int64(b.N)*chunk)}, buf); err != nil {
					b.Error(err)
				}
				b.StopTimer()
				var packets, supers uint64
				for _, d := range []*netstack.Device{x, y} {
					for _, q := range d.Stats().Queues {
						packets += q.Packets
						supers += q.Superpackets
					}
				}
				b.ReportMetric(float64(packets)/float64(max(supers, 1)), "packets/superpacket")
			})
		}
	}
}
