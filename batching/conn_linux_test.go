// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"golang.org/x/sys/unix"
)

// The fast path is taken: this fails, and does not skip, when segmented messages
// are not sent or merged ones not received, or when many datagrams do not come in
// one call. The other variants are its twins without.
func TestOffloadsTaken(t *testing.T) {
	vni, err := geneve.MakeVNI(7)
	if err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, network string, o *batching.Options) {
		from, to := listen(t, network, o), listen(t, network, o)
		wantGSO, wantGRO := !o.DisableGSO && !o.DisableBatching, !o.DisableGRO && !o.DisableBatching
		if gso, gro, reasons := to.Capabilities(); gso != wantGSO || gro != wantGRO {
			t.Fatalf("gso %v, gro %v, want %v and %v: %q", gso, gro, wantGSO, wantGRO, reasons)
		}
		dst := batching.NewDestination(to.LocalAddr(), netip.Addr{}, 0)
		for _, v := range []geneve.VNI{0, vni} {
			before, rxBefore := from.Stats().Tx, to.Stats().Rx
			bufs, _ := batch(slices.Repeat([]int{1400}, batching.MaxBatch)...)
			if n, err := from.WriteBatch(bufs, headroom, dst, v); n != len(bufs) || err != nil {
				t.Fatalf("write: got %d, %v", n, err)
			}
			read(t, to, len(bufs))
			tx, rx := from.Stats().Tx, to.Stats().Rx
			// 65,507 / 1,408 is 46 packets: 3 messages in one call.
			wantMessages, wantCalls := uint64(128), uint64(1)
			if wantGSO {
				wantMessages = 3
			}
			if o.DisableBatching {
				wantCalls = 128
			}
			if m, n := tx.Messages-before.Messages, tx.Calls-before.Calls; m != wantMessages || n != wantCalls {
				t.Errorf("vni %v: sent %d messages in %d calls, want %d in %d", v, m, n, wantMessages, wantCalls)
			}
			if len(tx.Fallbacks) == 0 {
				t.Error("no fallback counters")
			}
			for reason, n := range tx.Fallbacks {
				if n != 0 {
					t.Errorf("vni %v: %d fallbacks of %s", v, n, reason)
				}
			}
			// A segmented message reaches a socket without GRO in pieces.
			if !wantGSO || !wantGRO {
				wantMessages = 128
			}
			if m := rx.Messages - rxBefore.Messages; m != wantMessages {
				t.Errorf("vni %v: received %d messages, want %d", v, m, wantMessages)
			}
			if n := rx.Calls - rxBefore.Calls; n > 20 && !o.DisableBatching {
				t.Errorf("vni %v: received in %d calls, want at most 20", v, n)
			}
		}
	})
}

// Many small flows: at least 32 datagrams in one system call, none of them
// copied, once the Conn has seen what comes.
func TestManyFlowsPerCall(t *testing.T) {
	for _, network := range networks(t) {
		t.Run(network, func(t *testing.T) {
			to := listen(t, network, nil)
			dst := batching.NewDestination(to.LocalAddr(), netip.Addr{}, 0)
			var from []*batching.Conn
			for range 64 {
				from = append(from, listen(t, network, nil))
			}
			bufs, _ := batch(200)
			var last batching.RxStats
			for range 10 {
				before := to.Stats().Rx
				for _, c := range from {
					if _, err := c.WriteBatch(bufs, headroom, dst, 0); err != nil {
						t.Fatal(err)
					}
				}
				read(t, to, len(from))
				last = to.Stats().Rx
				last.Packets -= before.Packets
				last.Calls -= before.Calls
			}
			if last.Packets < 32*last.Calls {
				t.Errorf("%d packets in %d calls, want at least 32 in each", last.Packets, last.Calls)
			}
			if last.Copied != 0 {
				t.Errorf("%d packets were copied, want 0", last.Copied)
			}
		})
	}
}

// Bulk is not copied, but for what arrives before the first call has seen it.
func TestBulkIsNotCopied(t *testing.T) {
	from, to := listen(t, "udp4", nil), listen(t, "udp4", nil)
	dst := batching.NewDestination(to.LocalAddr(), netip.Addr{}, 0)
	bufs, _ := batch(slices.Repeat([]int{1400}, batching.MaxBatch)...)
	for range 100 {
		if n, err := from.WriteBatch(bufs, headroom, dst, 0); n != len(bufs) || err != nil {
			t.Fatalf("write: got %d, %v", n, err)
		}
		read(t, to, len(bufs))
	}
	if rx := to.Stats().Rx; rx.Copied > batching.MaxBatch || rx.Packets != 100*batching.MaxBatch {
		t.Errorf("%d of %d packets were copied, want at most %d", rx.Copied, rx.Packets, batching.MaxBatch)
	}
}

// Exactly 64 packets are one message for the real kernel too, and the largest
// message is taken.
func TestKernelTakesFullMessages(t *testing.T) {
	for _, network := range networks(t) {
		t.Run(network, func(t *testing.T) {
			from, to := listen(t, network, nil), listen(t, network, nil)
			dst := batching.NewDestination(to.LocalAddr(), netip.Addr{}, 0)
			longest, segmented := batching.MaxPayload4, batching.MaxSegmented4
			if network == "udp6" {
				longest, segmented = batching.MaxPayload6, batching.MaxSegmented6
			}
			full := slices.Repeat([]int{segmented / 50}, 50)
			if rest := segmented % 50; rest != 0 {
				full = append(full, rest)
			}
			for _, sizes := range [][]int{
				slices.Repeat([]int{1000}, 64),
				slices.Repeat([]int{100}, 64),
				slices.Repeat([]int{1}, 30),
				full,
				{longest},
			} {
				before := from.Stats().Tx
				bufs, want := batch(sizes...)
				if n, err := from.WriteBatch(bufs, headroom, dst, 0); n != len(bufs) || err != nil {
					t.Fatalf("%d packets of %d bytes: got %d, %v", len(sizes), sizes[0], n, err)
				}
				for i, r := range read(t, to, len(want)) {
					if r.data != want[i] {
						t.Fatalf("packet %d of %d differs", i, len(want))
					}
				}
				tx := from.Stats().Tx
				if m := tx.Messages - before.Messages; m != 1 && tx.Fallbacks["segments"] == 0 {
					t.Errorf("%d packets of %d bytes: %d messages, want 1", len(sizes), sizes[0], m)
				}
				if tx.Fallbacks["einval"]+tx.Fallbacks["emsgsize"]+tx.Fallbacks["eio"] != 0 {
					t.Errorf("%d packets of %d bytes: fallbacks %v", len(sizes), sizes[0], tx.Fallbacks)
				}
			}
		})
	}
}

// What was sent to one of the host's addresses is answered from it, also when
// GRO merged it.
func TestStickySource(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			client := listen(t, "udp4", &v.opts)
			server, err := batching.Listen("udp4", netip.AddrPort{}, &v.opts)
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			at := netip.AddrPortFrom(netip.MustParseAddr("127.5.6.7"), server.LocalAddr().Port())
			bufs, want := batch(100, 100, 100, 50)
			if n, err := client.WriteBatch(bufs, headroom, batching.NewDestination(at, netip.Addr{}, 0), 0); n != len(bufs) || err != nil {
				t.Fatalf("write: got %d, %v", n, err)
			}
			for i, r := range read(t, server, len(want)) {
				if r.Local != at.Addr() || r.IfIndex == 0 {
					t.Errorf("packet %d: sent to %v, interface %d, want %v", i, r.Local, r.IfIndex, at.Addr())
				}
			}
			answer := batching.NewDestination(client.LocalAddr(), at.Addr(), 0)
			if n, err := server.WriteBatch(bufs, headroom, answer, 0); n != len(bufs) || err != nil {
				t.Fatalf("answer: got %d, %v", n, err)
			}
			for i, r := range read(t, client, len(want)) {
				if r.Remote != at {
					t.Errorf("answer %d: from %v, want %v", i, r.Remote, at)
				}
			}
		})
	}
}

// A source address that the host does not have is an error that says so; the same
// packets then leave without it.
func TestSourceGone(t *testing.T) {
	each(t, func(t *testing.T, network string, o *batching.Options) {
		from, to := listen(t, network, o), listen(t, network, o)
		gone := netip.MustParseAddr("192.0.2.222")
		if network == "udp6" {
			gone = netip.MustParseAddr("2001:db8::222")
		}
		bufs, want := batch(100, 100, 100, 50)
		dst := batching.NewDestination(to.LocalAddr(), gone, 0)
		n, err := from.WriteBatch(bufs, headroom, dst, 0)
		if n != 0 || !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EADDRNOTAVAIL) && !errors.Is(err, unix.ENETUNREACH) {
			t.Fatalf("got %d, %v, want EINVAL, EADDRNOTAVAIL or ENETUNREACH", n, err)
		}
		if !dst.Segmented(time.Now()) {
			t.Error("the destination was marked")
		}
		if n, err := from.WriteBatch(bufs[n:], headroom, batching.NewDestination(to.LocalAddr(), netip.Addr{}, 0), 0); n != len(bufs) || err != nil {
			t.Fatalf("without source: got %d, %v", n, err)
		}
		read(t, to, len(want))
	})
}

// withoutPrivilege runs f without any effective capability.
func withoutPrivilege(t *testing.T, f func()) {
	t.Helper()
	runtime.LockOSThread()
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var had [2]unix.CapUserData
	if err := unix.Capget(&hdr, &had[0]); err != nil {
		t.Fatalf("capget: %v", err)
	}
	none := had
	none[0].Effective, none[1].Effective = 0, 0
	if err := unix.Capset(&hdr, &none[0]); err != nil {
		t.Fatalf("capset: %v", err)
	}
	defer func() {
		// Locked for ever if this fails: the thread ends with the goroutine.
		if err := unix.Capset(&hdr, &had[0]); err != nil {
			t.Fatalf("capset: %v", err)
		}
		runtime.UnlockOSThread()
	}()
	f()
}

func TestMarkNeedsPrivilege(t *testing.T) {
	testutil.LeakCheck(t)
	c := listen(t, "udp4", nil)
	withoutPrivilege(t, func() {
		var markErr *batching.MarkError
		_, err := batching.Listen("udp4", netip.MustParseAddrPort("127.0.0.1:0"), &batching.Options{Mark: 0x1234})
		if !errors.As(err, &markErr) || !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "CAP_NET_ADMIN") || !strings.Contains(err.Error(), "0x1234") {
			t.Errorf("listen: got %v, want EPERM with the mark and CAP_NET_ADMIN", err)
		}
		if err := c.SetMark(0x1234); !errors.As(err, &markErr) || !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
			t.Errorf("set: got %v, want EPERM with CAP_NET_ADMIN", err)
		}
		if err := c.SetMark(0); err != nil {
			t.Errorf("no mark where there is none: %v", err)
		}
		c, err := batching.Listen("udp4", netip.MustParseAddrPort("127.0.0.1:0"), nil)
		if err != nil {
			t.Errorf("without a mark: %v", err)
			return
		}
		c.Close()
	})
}

func TestMark(t *testing.T) {
	testutil.NeedNetNS(t)
	c := listen(t, "udp4", &batching.Options{Mark: 0xFFFFFFFE})
	for _, want := range []uint32{0xFFFFFFFE, 51820, 0} {
		if want != 0xFFFFFFFE {
			if err := c.SetMark(want); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := c.Sockopt(unix.SOL_SOCKET, unix.SO_MARK); err != nil || uint32(got) != want {
			t.Errorf("got %#x, %v, want %#x", uint32(got), err, want)
		}
	}
}

// Buffers are as large as asked for, or it is said why not.
func TestBuffers(t *testing.T) {
	sizes := func(c *batching.Conn) (receive, send int) {
		t.Helper()
		receive, err := c.Sockopt(unix.SOL_SOCKET, unix.SO_RCVBUF)
		if err != nil {
			t.Fatal(err)
		}
		send, err = c.Sockopt(unix.SOL_SOCKET, unix.SO_SNDBUF)
		if err != nil {
			t.Fatal(err)
		}
		return receive, send
	}
	small := listen(t, "udp4", &batching.Options{ReceiveBuffer: 10_000, SendBuffer: 20_000})
	if r, s := sizes(small); r != 20_000 || s != 40_000 { // the kernel doubles
		t.Errorf("got %d and %d, want 20000 and 40000", r, s)
	}
	plain := listen(t, "udp4", &batching.Options{ReceiveBuffer: -1, SendBuffer: -1})
	r, s := sizes(plain)
	if r >= 7<<20 || s >= 7<<20 {
		t.Errorf("got %d and %d, want the system's default", r, s)
	}
	withoutPrivilege(t, func() {
		c := listen(t, "udp4", &batching.Options{ReceiveBuffer: 1 << 29, SendBuffer: 1 << 29})
		r, s := sizes(c)
		_, _, reasons := c.Capabilities()
		if r < 1<<30 && !slices.ContainsFunc(reasons, func(r string) bool { return strings.HasPrefix(r, "receive buffer: ") }) ||
			s < 1<<30 && !slices.ContainsFunc(reasons, func(r string) bool { return strings.HasPrefix(r, "send buffer: ") }) {
			t.Errorf("got %d and %d, no reason in %q", r, s, reasons)
		}
	})
}

// With privilege the default is more than the system's limit.
func TestBuffersForced(t *testing.T) {
	testutil.NeedNetNS(t)
	c := listen(t, "udp4", nil)
	for _, opt := range []int{unix.SO_RCVBUF, unix.SO_SNDBUF} {
		if got, err := c.Sockopt(unix.SOL_SOCKET, opt); err != nil || got != 2*7<<20 {
			t.Errorf("option %d: got %d, %v, want twice 7 MiB", opt, got, err)
		}
	}
}

func TestSocketOptions(t *testing.T) {
	type option struct {
		name             string
		level, opt, want int
	}
	for network, options := range map[string][]option{
		"udp4": {
			{"IP_MTU_DISCOVER", unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT},
			{"IP_PKTINFO", unix.IPPROTO_IP, unix.IP_PKTINFO, 1},
			{"SO_RXQ_OVFL", unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1},
			{"UDP_GRO", unix.IPPROTO_UDP, unix.UDP_GRO, 1},
		},
		"udp6": {
			{"IPV6_V6ONLY", unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1},
			{"IPV6_MTU_DISCOVER", unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DONT},
			{"IPV6_RECVPKTINFO", unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1},
			{"SO_RXQ_OVFL", unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1},
			{"UDP_GRO", unix.IPPROTO_UDP, unix.UDP_GRO, 1},
		},
	} {
		if !slices.Contains(networks(t), network) {
			continue
		}
		c := listen(t, network, nil)
		for _, o := range options {
			if got, err := c.Sockopt(o.level, o.opt); err != nil || got != o.want {
				t.Errorf("%s %s: got %d, %v, want %d", network, o.name, got, err, o.want)
			}
		}
	}
}

// The kernel's count of what did not fit the receive buffer reaches Stats: every
// packet is either read or counted.
func TestOverflowCounted(t *testing.T) {
	to := listen(t, "udp4", &batching.Options{ReceiveBuffer: 10_000})
	from := listen(t, "udp4", nil)
	dst := batching.NewDestination(to.LocalAddr(), netip.Addr{}, 0)
	const count = 200
	for i := range count {
		if n, err := from.WriteBatch([][]byte{make([]byte, 500+i)}, 0, dst, 0); n != 1 || err != nil {
			t.Fatalf("got %d, %v", n, err)
		}
	}
	slab, pkts := make([]byte, wireguardSlab), make([]batching.Packet, batching.MaxBatch)
	// The counter comes with the packets after the drops, so one more is needed
	// once there is room.
	var packets uint64
	for size := 0; size != 499; {
		n, err := to.ReadBatch(slab, pkts)
		if err != nil {
			t.Fatal(err)
		}
		packets += uint64(n)
		size = pkts[n-1].Size
		if packets == uint64(n) {
			if _, err := from.WriteBatch([][]byte{make([]byte, 499)}, 0, dst, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	rx := to.Stats().Rx
	if rx.Overflow == 0 || rx.Packets != packets || packets+rx.Overflow != count+1 {
		t.Errorf("read %d, overflow %d, want %d together: %+v", packets, rx.Overflow, count+1, rx)
	}
}

// Close gives the address space back: a hundred leaked rings would be 420 MB.
func TestOpenCloseLeaksNoMemory(t *testing.T) {
	size := func() (kB int) {
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(status), "\nVmSize:")
		if _, err := fmt.Sscan(rest, &kB); err != nil {
			t.Fatal(err)
		}
		return kB
	}
	before := size()
	for range 100 {
		c, err := batching.Listen("udp4", netip.MustParseAddrPort("127.0.0.1:0"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if grown := size() - before; grown > 300_000 {
		t.Errorf("grown by %d kB", grown)
	}
}
