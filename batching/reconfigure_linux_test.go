// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"golang.org/x/sys/unix"
)

// TestReconfigure changes every option of a socket that was opened without any,
// and looks at what it does.
func TestReconfigure(t *testing.T) {
	to := listen(t, "udp4", nil)
	dst := batching.NewDestination(to.LocalAddr(), netip.Addr{}, 0)
	batch := func() [][]byte {
		bufs := make([][]byte, 40)
		for i := range bufs {
			bufs[i] = make([]byte, 300)
		}
		return bufs
	}
	messages := func(c *batching.Conn, send func([][]byte, int, *batching.Destination) error) uint64 {
		before := c.Stats().Tx.Messages
		if err := send(batch(), 0, dst); err != nil {
			t.Fatal(err)
		}
		return c.Stats().Tx.Messages - before
	}
	for _, tt := range []struct {
		name     string
		o        batching.Options
		messages uint64 // of 40 packets of 300 bytes
		check    func(t *testing.T, c *batching.Conn)
	}{
		{"defaults", batching.Options{}, 1, nil},
		{"gso off", batching.Options{DisableGSO: true}, 40, func(t *testing.T, c *batching.Conn) {
			if gso, _, reasons := c.Capabilities(); gso || !strings.Contains(strings.Join(reasons, ","), "gso: switched off") {
				t.Errorf("gso %v, reasons %q", gso, reasons)
			}
		}},
		{"segments", batching.Options{MaxSegments: 10}, 4, nil},
		{"one segment", batching.Options{MaxSegments: 1}, 40, nil},
		{"bytes", batching.Options{MaxBytes: 8*300 + 299}, 5, nil},
		{"bytes of less than a packet", batching.Options{MaxBytes: 299}, 40, nil},
		{"sentinel", batching.Options{Sentinel: batching.On}, 1, func(t *testing.T, c *batching.Conn) {
			if got := c.Stats().Tx.Sentinels; got != 1 {
				t.Errorf("%d sentinels, want 1", got)
			}
		}},
		{"buffers", batching.Options{ReceiveBuffer: 100 << 10, SendBuffer: 120 << 10}, 1, func(t *testing.T, c *batching.Conn) {
			rcv, err1 := c.Sockopt(unix.SOL_SOCKET, unix.SO_RCVBUF)
			snd, err2 := c.Sockopt(unix.SOL_SOCKET, unix.SO_SNDBUF)
			if rcv != 200<<10 || snd != 240<<10 || err1 != nil || err2 != nil {
				t.Errorf("buffers %d and %d, %v, %v", rcv, snd, err1, err2)
			}
			if m := c.Stats().Memory; m == nil || m.ReceiveBuffer != 200<<10 || m.SendBuffer != 240<<10 {
				t.Errorf("memory %+v", m)
			}
		}},
		{"gro off", batching.Options{DisableGRO: true}, 1, func(t *testing.T, c *batching.Conn) {
			if _, gro, _ := c.Capabilities(); gro {
				t.Error("gro is on")
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := listen(t, "udp4", nil)
			if err := c.Reconfigure(&tt.o); err != nil {
				t.Fatal(err)
			}
			got := messages(c, func(b [][]byte, offset int, d *batching.Destination) error {
				_, err := c.WriteBatch(b, offset, d, 0)
				return err
			})
			if got != tt.messages {
				t.Errorf("%d messages, want %d", got, tt.messages)
			}
			if tt.check != nil {
				tt.check(t, c)
			}
			// And back.
			if err := c.Reconfigure(nil); err != nil {
				t.Fatal(err)
			}
			if gso, gro, reasons := c.Capabilities(); !gso || !gro {
				t.Errorf("back to the defaults: gso %v, gro %v, %q", gso, gro, reasons)
			}
			if _, err := c.WriteBatch(batch(), 0, dst, 0); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestReconfigureRefusals(t *testing.T) {
	c := listen(t, "udp4", nil)
	for option, o := range map[string]batching.Options{
		"DisableBatching": {DisableBatching: true, DisableGSO: true},
		"GSORetry":        {GSORetry: time.Second, DisableGSO: true},
	} {
		err := c.Reconfigure(&o)
		var fixed *batching.FixedError
		if !errors.As(err, &fixed) || fixed.Option != option || !strings.Contains(err.Error(), option) {
			t.Errorf("%s: got %v", option, err)
		}
	}
	if gso, _, _ := c.Capabilities(); !gso {
		t.Error("a refused change was applied in part")
	}
	c.Close()
	if err := c.Reconfigure(nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: got %v", err)
	}
}

func TestMaxBytesIsClamped(t *testing.T) {
	var text strings.Builder
	listen(t, "udp4", &batching.Options{MaxBytes: 70_000, Logger: slog.New(slog.NewTextHandler(&text, nil))})
	for _, want := range []string{"level=WARN", "bytes=70000", "instead=65535"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in the log:\n%s", want, text.String())
		}
	}
}

// TestGROOffKeepsBoundaries switches GRO off while a merged message waits in the
// socket, with a reader and without one.
func TestGROOffKeepsBoundaries(t *testing.T) {
	for _, waiting := range []bool{false, true} {
		from, to := listen(t, "udp4", nil), listen(t, "udp4", nil)
		dst := batching.NewDestination(to.LocalAddr(), netip.Addr{}, 0)
		slab, pkts := make([]byte, wireguardSlab), make([]batching.Packet, batching.MaxBatch)
		send := func() {
			bufs := [][]byte{make([]byte, 700), make([]byte, 700), make([]byte, 300)}
			if _, err := from.WriteBatch(bufs, 0, dst, 0); err != nil {
				t.Error(err)
			}
		}
		read := func() (sizes []int) {
			for len(sizes) < 3 {
				n, err := to.ReadBatch(slab, pkts)
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range pkts[:n] {
					sizes = append(sizes, p.Size)
				}
			}
			return sizes
		}
		check := func(what string, sizes []int) {
			if len(sizes) != 3 || sizes[0] != 700 || sizes[1] != 700 || sizes[2] != 300 {
				t.Errorf("%s: packets of %d bytes", what, sizes)
			}
		}
		if waiting {
			done := make(chan []int)
			go func() { done <- read() }()
			time.Sleep(10 * time.Millisecond) // whether it waits already or not, the result is the same
			if err := to.Reconfigure(&batching.Options{DisableGRO: true}); err != nil {
				t.Fatal(err)
			}
			testutil.Eventually(t, 5*time.Second, "gro off", func() error {
				if v, err := to.Sockopt(unix.IPPROTO_UDP, unix.UDP_GRO); err != nil || v != 0 {
					return errors.New("still on")
				}
				return nil
			})
			send()
			check("reader waited", <-done)
		} else {
			send()
			if err := to.Reconfigure(&batching.Options{DisableGRO: true}); err != nil {
				t.Fatal(err)
			}
			check("merged before the switch", read())
			go func() {
				time.Sleep(20 * time.Millisecond)
				send()
			}()
			check("after the switch", read())
		}
		before := to.Stats().Rx.Messages
		send()
		check("not merged", read())
		if got := to.Stats().Rx.Messages - before; got != 3 {
			t.Errorf("%d messages for 3 packets with GRO off", got)
		}
	}
}

// TestReadDeadline proves the contract of SetReadDeadline on a waiting reader,
// before a read, and when taken back, also together with switching GRO.
func TestReadDeadline(t *testing.T) {
	for _, plain := range []bool{false, true} {
		c := listen(t, "udp4", &batching.Options{DisableBatching: plain})
		slab, pkts := make([]byte, wireguardSlab), make([]batching.Packet, batching.MaxBatch)
		errs := make(chan error)
		go func() {
			_, err := c.ReadBatch(slab, pkts)
			errs <- err
		}()
		if err := c.SetReadDeadline(time.Now()); err != nil {
			t.Fatal(err)
		}
		if err := <-errs; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("waiting: got %v", err)
		}
		if err := c.Reconfigure(&batching.Options{DisableBatching: plain, DisableGRO: true}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.ReadBatch(slab, pkts); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("before: got %v", err)
		}
		if err := c.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		dst := batching.NewDestination(c.LocalAddr(), netip.Addr{}, 0)
		if _, err := c.WriteBatch([][]byte{{1}}, 0, dst, 0); err != nil {
			t.Fatal(err)
		}
		if n, err := c.ReadBatch(slab, pkts); n != 1 || err != nil {
			t.Errorf("taken back: got %d, %v", n, err)
		}
		c.Close()
		if err := c.SetReadDeadline(time.Time{}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close: got %v", err)
		}
	}
}

// TestReconfigureUnderLoad changes all options at random on a sending and a
// receiving socket, while four senders send by WriteBatch or Queue. Every packet
// arrives once, whole, and in the order of its sender.
func TestReconfigureUnderLoad(t *testing.T) {
	testutil.LeakCheck(t)
	const senders, packets = 4, 6_000
	to := listen(t, "udp4", nil)
	var received [senders]atomic.Int64
	var readers, writers, changers sync.WaitGroup
	readers.Go(func() {
		slab, pkts := make([]byte, wireguardSlab), make([]batching.Packet, batching.MaxBatch)
		var last [senders]uint32
		for {
			n, err := to.ReadBatch(slab, pkts)
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					t.Error(err)
				}
				return
			}
			for _, p := range pkts[:n] {
				data := slab[p.Offset:][:p.Size]
				if p.Size == 1 {
					continue // a sentinel
				}
				who, num := data[0], binary.BigEndian.Uint32(data[1:])
				if num <= last[who] {
					t.Errorf("sender %d: packet %d after %d", who, num, last[who])
				}
				last[who] = num
				if want := loadSize(num); p.Size != want {
					t.Errorf("sender %d: packet %d has %d bytes, want %d", who, num, p.Size, want)
				}
				for _, b := range data[5:] {
					if b != byte(num) {
						t.Errorf("sender %d: packet %d has wrong content", who, num)
						break
					}
				}
				received[who].Add(1)
			}
		}
	})
	stop := make(chan struct{})
	var from [senders]*batching.Conn
	for i := range from {
		from[i] = listen(t, "udp4", nil)
		writers.Go(func() {
			dst := batching.NewDestination(to.LocalAddr(), netip.Addr{}, 0)
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for num := uint32(1); num <= packets; {
				var bufs [][]byte
				for range min(1+r.IntN(60), packets-int(num)+1) {
					p := make([]byte, loadSize(num))
					for j := range p[5:] {
						p[5+j] = byte(num)
					}
					p[0] = byte(i)
					binary.BigEndian.PutUint32(p[1:], num)
					bufs = append(bufs, p)
					num++
				}
				if n, err := from[i].Queue(bufs, 0, dst, 0); n != len(bufs) || err != nil {
					t.Errorf("sender %d: sent %d of %d: %v", i, n, len(bufs), err)
					return
				}
				for int64(num)-received[i].Load() > 1000 {
					select {
					case <-stop:
						return
					case <-time.After(time.Millisecond):
					}
				}
			}
		})
	}
	changers.Go(func() {
		r := rand.New(rand.NewPCG(7, 7))
		for {
			select {
			case <-stop:
				return
			default:
			}
			c := to
			if k := r.IntN(senders + 1); k < senders {
				c = from[k]
			}
			if err := c.Reconfigure(randomOptions(r)); err != nil {
				t.Error(err)
			}
			time.Sleep(200 * time.Microsecond)
		}
	})
	writers.Wait()
	testutil.Eventually(t, 20*time.Second, "all packets", func() error {
		var sum int64
		for i := range received {
			sum += received[i].Load()
		}
		if sum != senders*packets {
			return fmt.Errorf("%d of %d", sum, senders*packets)
		}
		return nil
	})
	close(stop)
	changers.Wait()
	to.Close()
	readers.Wait()
}

// loadSize is the size of packet num, in runs of equal ones.
func loadSize(num uint32) int { return 20 + int(num/7%13)*97 }

func randomOptions(r *rand.Rand) *batching.Options {
	return &batching.Options{
		DisableGSO:   r.IntN(3) == 0,
		DisableGRO:   r.IntN(3) == 0,
		MaxSegments:  r.IntN(66),
		MaxBytes:     r.IntN(2) * (1 + r.IntN(65_535)),
		FlushTimeout: time.Duration(r.IntN(3)) * 300 * time.Microsecond,
		GROSlot:      r.IntN(2) * (100 + r.IntN(60_000)),
		Sentinel:     batching.Mode(r.IntN(3)),
		SendBuffer:   1 << (18 + r.IntN(4)),
	}
}
