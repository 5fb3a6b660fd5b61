// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching_test

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
	"golang.org/x/sys/unix"
)

// segmentRefused is a path that refuses segmented messages.
func segmentRefused(errno unix.Errno) func(msgs []sent, _ bool) (int, error) {
	return func(msgs []sent, _ bool) (int, error) {
		for i, m := range msgs {
			if m.Segment != 0 {
				return i, errno
			}
		}
		return len(msgs), nil
	}
}

func scripted(tb testing.TB, o *batching.Options) (*batching.Conn, *kernel) {
	c := listen(tb, "udp4", o)
	k := &kernel{tb: tb}
	c.SetSend(k.send)
	return c, k
}

// named returns n packets of the given size that are all different, behind the
// headroom.
func named(n, size int) (bufs [][]byte, packets []string) {
	for i := range n {
		p := fmt.Sprintf("%0*d", size, i)
		packets = append(packets, p)
		bufs = append(bufs, append(make([]byte, headroom), p...))
	}
	return bufs, packets
}

func TestWriteBatchMessages(t *testing.T) {
	vni, err := geneve.MakeVNI(0x123456)
	if err != nil {
		t.Fatal(err)
	}
	header := "\x00\x00\x7a\x12\x12\x34\x56\x00"
	local := netip.MustParseAddr("192.0.2.9")
	for _, tc := range []struct {
		name    string
		packets []string
		local   netip.Addr
		vni     geneve.VNI
		opts    batching.Options
		want    []sent
	}{
		{name: "nothing"},
		{name: "one", packets: []string{"a"}, want: []sent{{Packets: []string{"a"}}}},
		{name: "one with source", packets: []string{"a"}, local: local, want: []sent{{Packets: []string{"a"}, Local: "192.0.2.9"}}},
		{name: "two equal", packets: []string{"aa", "bb"}, want: []sent{{Packets: []string{"aa", "bb"}, Segment: 2}}},
		{name: "two equal with source", packets: []string{"aa", "bb"}, local: local,
			want: []sent{{Packets: []string{"aa", "bb"}, Segment: 2, Local: "192.0.2.9"}}},
		{name: "smaller tail, then a new run", packets: []string{"aa", "bb", "c", "d", "e"},
			want: []sent{{Packets: []string{"aa", "bb", "c"}, Segment: 2}, {Packets: []string{"d", "e"}, Segment: 1}}},
		{name: "empty packets", packets: []string{"", "", "a"}, want: []sent{{Packets: []string{""}}, {Packets: []string{""}}, {Packets: []string{"a"}}}},
		{name: "geneve", packets: []string{"aa", "bb", "c"}, vni: vni,
			want: []sent{{Packets: []string{header + "aa", header + "bb", header + "c"}, Segment: 10}}},
		{name: "geneve around nothing", packets: []string{"", ""}, vni: vni, want: []sent{{Packets: []string{header, header}, Segment: 8}}},
		{name: "gso off", packets: []string{"aa", "bb"}, opts: batching.Options{DisableGSO: true},
			want: []sent{{Packets: []string{"aa"}}, {Packets: []string{"bb"}}}},
		{name: "gso off with source and geneve", packets: []string{"aa", "bb"}, opts: batching.Options{DisableGSO: true}, local: local, vni: vni,
			want: []sent{{Packets: []string{header + "aa"}, Local: "192.0.2.9"}, {Packets: []string{header + "bb"}, Local: "192.0.2.9"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, k := scripted(t, &tc.opts)
			var bufs [][]byte
			for _, p := range tc.packets {
				bufs = append(bufs, append([]byte("headroom"), p...))
			}
			n, err := c.WriteBatch(bufs, headroom, batching.NewDestination(someone, tc.local, 0), tc.vni)
			if n != len(bufs) || err != nil {
				t.Errorf("got %d, %v, want %d", n, err, len(bufs))
			}
			var want [][]sent
			if tc.want != nil {
				want = [][]sent{tc.want}
			}
			if diff := cmp.Diff(want, k.calls); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWriteBatchLimits(t *testing.T) {
	vni, err := geneve.MakeVNI(1)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name     string
		n, size  int
		vni      geneve.VNI
		messages []int // packets in each
		calls    int
	}{
		{"64 packets", 64, 200, 0, []int{64}, 1},
		{"65 packets", 65, 200, 0, []int{64, 1}, 1},
		{"a batch", 128, 200, 0, []int{64, 64}, 1},
		{"more than a batch", 129, 200, 0, []int{64, 64, 1}, 2},
		{"65,507 bytes", 61, 1073, 0, slices.Repeat([]int{61}, 1), 1}, // 65,453
		{"headers count", 61, 1073, vni, []int{60, 1}, 1},             // 61 * 1,081 = 65,941
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, k := scripted(t, nil)
			bufs, packets := named(tc.n, tc.size)
			if n, err := c.WriteBatch(bufs, headroom, batching.NewDestination(someone, netip.Addr{}, 0), tc.vni); n != tc.n || err != nil {
				t.Fatalf("got %d, %v, want %d", n, err, tc.n)
			}
			var messages []int
			for _, call := range k.calls {
				for _, m := range call {
					messages = append(messages, len(m.Packets))
				}
			}
			if diff := cmp.Diff(tc.messages, messages); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
			if len(k.calls) != tc.calls {
				t.Errorf("got %d calls, want %d", len(k.calls), tc.calls)
			}
			if !tc.vni.IsSet() && !slices.Equal(k.took, packets) {
				t.Errorf("packets differ")
			}
			wire := tc.n * tc.size
			if tc.vni.IsSet() {
				wire += tc.n * geneve.HeaderLen
			}
			if tx := c.Stats().Tx; tx.Packets != uint64(tc.n) || tx.Bytes != uint64(wire) ||
				tx.Messages != uint64(len(messages)) || tx.Calls != uint64(tc.calls) {
				t.Errorf("stats: %+v", tx)
			}
		})
	}
}

// However few messages the kernel takes at a time, every packet leaves once and
// in order.
func TestWriteBatchPartial(t *testing.T) {
	for _, per := range []int{1, 2, 3, 100} {
		t.Run(fmt.Sprint(per), func(t *testing.T) {
			c, k := scripted(t, nil)
			interrupted := false
			k.refuse = func(msgs []sent, wait bool) (int, error) {
				// Between any two: an interruption, then a full buffer.
				if !wait {
					if interrupted = !interrupted; interrupted {
						return 0, unix.EINTR
					}
					return 0, unix.EAGAIN
				}
				return min(per, len(msgs)), nil
			}
			var bufs [][]byte
			var want []string
			for i := range 300 {
				p := strings.Repeat("x", 1+i%3) + fmt.Sprint(i)
				want = append(want, p)
				bufs = append(bufs, []byte(p))
			}
			n, err := c.WriteBatch(bufs, 0, batching.NewDestination(someone, netip.Addr{}, 0), 0)
			if n != len(bufs) || err != nil {
				t.Fatalf("got %d, %v, want %d", n, err, len(bufs))
			}
			if diff := cmp.Diff(want, k.took); diff != "" {
				t.Errorf("packets (-want +got):\n%s", diff)
			}
			if tx := c.Stats().Tx; tx.Packets != 300 || tx.Waits == 0 {
				t.Errorf("stats: %+v", tx)
			}
		})
	}
}

// A segmented message that the path refuses is replayed once, from where it
// failed; the destination is left alone for a while, others are not.
func TestWriteBatchFallback(t *testing.T) {
	for _, tc := range []struct {
		errno  unix.Errno
		reason string
	}{{unix.EIO, "eio"}, {unix.EINVAL, "einval"}, {unix.EMSGSIZE, "emsgsize"}} {
		t.Run(tc.reason, func(t *testing.T) {
			c, k := scripted(t, &batching.Options{GSORetry: time.Minute})
			now := time.Now()
			c.SetClock(func() time.Time { return now })
			k.refuse = segmentRefused(tc.errno)
			dst := batching.NewDestination(someone, netip.MustParseAddr("192.0.2.9"), 0)
			// The first packet is a message of its own and leaves at once.
			bufs := [][]byte{[]byte("a"), []byte("bbb"), []byte("ccc"), []byte("dddd"), []byte("eeee")}
			all := []string{"a", "bbb", "ccc", "dddd", "eeee"}
			write := func() {
				t.Helper()
				k.calls, k.took = nil, nil
				if n, err := c.WriteBatch(bufs, 0, dst, 0); n != 5 || err != nil {
					t.Fatalf("got %d, %v, want 5", n, err)
				}
				if diff := cmp.Diff(all, k.took); diff != "" {
					t.Errorf("packets (-want +got):\n%s", diff)
				}
			}
			one := func(p string) sent { return sent{Packets: []string{p}, Local: "192.0.2.9"} }
			segmented := [][]sent{{
				one("a"),
				{Packets: []string{"bbb", "ccc"}, Segment: 3, Local: "192.0.2.9"},
				{Packets: []string{"dddd", "eeee"}, Segment: 4, Local: "192.0.2.9"},
			}}

			write()
			want := append(slices.Clone(segmented), segmented[0][1:], []sent{one("bbb"), one("ccc"), one("dddd"), one("eeee")})
			if diff := cmp.Diff(want, k.calls); diff != "" {
				t.Errorf("calls of the first batch (-want +got):\n%s", diff)
			}
			now = now.Add(time.Minute - 1)
			write()
			if diff := cmp.Diff([][]sent{{one("a"), one("bbb"), one("ccc"), one("dddd"), one("eeee")}}, k.calls); diff != "" {
				t.Errorf("calls while paused (-want +got):\n%s", diff)
			}
			if got := c.Stats().Tx.Fallbacks[tc.reason]; got != 1 {
				t.Errorf("fallbacks: got %d, want 1", got)
			}

			// Another destination is not concerned.
			k.refuse, k.calls = nil, nil
			other := batching.NewDestination(netip.MustParseAddrPort("192.0.2.2:1"), netip.MustParseAddr("192.0.2.9"), 0)
			if n, err := c.WriteBatch(bufs, 0, other, 0); n != 5 || err != nil {
				t.Fatalf("got %d, %v, want 5", n, err)
			}
			if diff := cmp.Diff(segmented, k.calls); diff != "" {
				t.Errorf("calls to another destination (-want +got):\n%s", diff)
			}
			// And this one is tried again later.
			now = now.Add(1)
			write()
			if diff := cmp.Diff(segmented, k.calls); diff != "" {
				t.Errorf("calls after the pause (-want +got):\n%s", diff)
			}
		})
	}
}

// When single packets fail too, segments were not to blame: the source address
// is, for instance. The caller learns how many packets left.
func TestWriteBatchRefusedSource(t *testing.T) {
	for _, errno := range []unix.Errno{unix.EINVAL, unix.EIO} {
		c, k := scripted(t, nil)
		gone := false
		k.refuse = func(msgs []sent, _ bool) (int, error) {
			for i, m := range msgs {
				if gone || m.Packets[0] == "ccc" || m.Packets[0] == "bbb" && m.Segment != 0 {
					gone = m.Packets[0] == "ccc"
					return i, errno
				}
			}
			return len(msgs), nil
		}
		dst := batching.NewDestination(someone, netip.MustParseAddr("192.0.2.9"), 0)
		bufs := [][]byte{[]byte("a"), []byte("ccc"), []byte("ddd"), []byte("eee")}
		n, err := c.WriteBatch(bufs, 0, dst, 0)
		var sendErr *batching.SendError
		if n != 1 || !errors.Is(err, errno) || !errors.As(err, &sendErr) || sendErr.Op != "sendmmsg" || sendErr.Remote != someone {
			t.Errorf("got %d, %v, want 1 and a SendError of %v", n, err, errno)
		}
		if !dst.Segmented(time.Now()) {
			t.Errorf("%v: the destination was marked", errno)
		}
		if len(k.calls) != 3 {
			t.Errorf("%v: got %d calls, want 3: a, then the rest, then one by one: %v", errno, len(k.calls), k.calls)
		}
		reason := "source"
		if errno == unix.EIO {
			reason = "other"
		}
		if tx := c.Stats().Tx; tx.Packets != 1 || tx.Dropped[reason] != 3 {
			t.Errorf("%v: stats %+v, want 3 dropped as %s", errno, tx, reason)
		}
		// The rest, from an address the kernel chooses.
		gone, k.refuse, k.took = false, nil, nil
		if n, err := c.WriteBatch(bufs[n:], 0, batching.NewDestination(someone, netip.Addr{}, 0), 0); n != 3 || err != nil {
			t.Errorf("again: got %d, %v, want 3", n, err)
		}
		if diff := cmp.Diff([]string{"ccc", "ddd", "eee"}, k.took); diff != "" {
			t.Errorf("again (-want +got):\n%s", diff)
		}
	}
}

// Kernels before Linux 6.9 refuse 64 full segments, because they count the
// headers. That is no reason to stop segmenting.
func TestWriteBatchHeadersCounted(t *testing.T) {
	c, k := scripted(t, nil)
	k.refuse = func(msgs []sent, _ bool) (int, error) {
		for i, m := range msgs {
			if m.Segment != 0 && len(strings.Join(m.Packets, ""))+28 > 64*m.Segment {
				return i, unix.EINVAL
			}
		}
		return len(msgs), nil
	}
	dst := batching.NewDestination(someone, netip.Addr{}, 0)
	bufs, packets := named(128, 200)
	for range 2 {
		k.calls, k.took = nil, nil
		if n, err := c.WriteBatch(bufs, headroom, dst, 0); n != 128 || err != nil {
			t.Fatalf("got %d, %v, want 128", n, err)
		}
		if !slices.Equal(k.took, packets) {
			t.Errorf("packets differ")
		}
		last := k.calls[len(k.calls)-1]
		var got []int
		for _, m := range last {
			got = append(got, len(m.Packets))
		}
		if diff := cmp.Diff([]int{63, 63, 2}, got); diff != "" {
			t.Errorf("messages (-want +got):\n%s", diff)
		}
	}
	if !dst.Segmented(time.Now()) {
		t.Error("the destination was marked")
	}
	if len(k.calls) != 1 {
		t.Errorf("second batch: got %d calls, want 1", len(k.calls))
	}
	if tx := c.Stats().Tx; tx.Fallbacks["segments"] != 1 || tx.Fallbacks["einval"] != 0 {
		t.Errorf("fallbacks: %v", tx.Fallbacks)
	}
}

// A full batch to a source that is gone does not teach the socket anything.
func TestWriteBatchHeadersNotCounted(t *testing.T) {
	c, k := scripted(t, nil)
	k.refuse = func([]sent, bool) (int, error) { return 0, unix.EINVAL }
	dst := batching.NewDestination(someone, netip.MustParseAddr("192.0.2.9"), 0)
	bufs, _ := named(64, 200)
	if n, err := c.WriteBatch(bufs, headroom, dst, 0); n != 0 || !errors.Is(err, unix.EINVAL) {
		t.Fatalf("got %d, %v, want EINVAL", n, err)
	}
	k.refuse, k.calls = nil, nil
	if n, err := c.WriteBatch(bufs, headroom, dst, 0); n != 64 || err != nil {
		t.Fatalf("got %d, %v, want 64", n, err)
	}
	if len(k.calls) != 1 || len(k.calls[0]) != 1 {
		t.Errorf("got %d messages, want one of 64 packets", len(k.calls[0]))
	}
}

// One packet that is too long does not keep the others from leaving.
func TestWriteBatchTooLong(t *testing.T) {
	c, k := scripted(t, nil)
	k.refuse = func(msgs []sent, _ bool) (int, error) {
		for i, m := range msgs {
			if strings.Contains(m.Packets[0], "long") {
				return i, unix.EMSGSIZE
			}
		}
		return len(msgs), nil
	}
	dst := batching.NewDestination(someone, netip.Addr{}, 0)
	var bufs [][]byte
	var want []string
	for i := range 200 {
		p := fmt.Sprintf("p%03d", i)
		if i%50 == 0 {
			p = "long one"
		} else {
			want = append(want, p)
		}
		bufs = append(bufs, []byte(p))
	}
	n, err := c.WriteBatch(bufs, 0, dst, 0)
	if n != 196 || !errors.Is(err, unix.EMSGSIZE) {
		t.Errorf("got %d, %v, want 196 and EMSGSIZE", n, err)
	}
	if diff := cmp.Diff(want, k.took); diff != "" {
		t.Errorf("packets (-want +got):\n%s", diff)
	}
	if tx := c.Stats().Tx; tx.Dropped["too_long"] != 4 || tx.Packets != 196 {
		t.Errorf("stats: %+v", tx)
	}
	if !dst.Segmented(time.Now()) {
		t.Error("the destination was marked")
	}
}

func TestWriteBatchErrors(t *testing.T) {
	for _, tc := range []struct {
		errno  unix.Errno
		reason string
		calls  int
	}{
		{unix.ENOBUFS, "no_buffers", 3},
		{unix.ENOMEM, "no_buffers", 1},
		{unix.EPERM, "denied", 1},
		{unix.ENETUNREACH, "unreachable", 1},
		{unix.EADDRNOTAVAIL, "source", 1},
		{unix.EBADF, "other", 1},
	} {
		t.Run(tc.errno.Error(), func(t *testing.T) {
			c, k := scripted(t, nil)
			k.refuse = func([]sent, bool) (int, error) { return 0, tc.errno }
			bufs, _ := named(200, 10)
			n, err := c.WriteBatch(bufs, headroom, batching.NewDestination(someone, netip.Addr{}, 0), 0)
			if n != 0 || !errors.Is(err, tc.errno) {
				t.Errorf("got %d, %v, want %v", n, err, tc.errno)
			}
			if len(k.calls) != tc.calls {
				t.Errorf("got %d calls, want %d", len(k.calls), tc.calls)
			}
			if tx := c.Stats().Tx; tx.Dropped[tc.reason] != 200 || tx.Packets != 0 || tx.Calls != 0 {
				t.Errorf("stats: %+v", tx)
			}
		})
	}
	t.Run("no buffers for a moment", func(t *testing.T) {
		c, k := scripted(t, nil)
		k.refuse = func(msgs []sent, _ bool) (int, error) {
			if len(k.calls)%3 != 0 {
				return 0, unix.ENOBUFS
			}
			return 1, nil
		}
		bufs := [][]byte{[]byte("a"), []byte("bb"), []byte("ccc")}
		if n, err := c.WriteBatch(bufs, 0, batching.NewDestination(someone, netip.Addr{}, 0), 0); n != 3 || err != nil {
			t.Errorf("got %d, %v, want 3", n, err)
		}
	})
	t.Run("no progress", func(t *testing.T) {
		c, k := scripted(t, nil)
		k.refuse = func([]sent, bool) (int, error) { return 0, nil }
		if n, err := c.WriteBatch([][]byte{{1}}, 0, batching.NewDestination(someone, netip.Addr{}, 0), 0); n != 0 || !errors.Is(err, io.ErrNoProgress) {
			t.Errorf("got %d, %v, want %v", n, err, io.ErrNoProgress)
		}
	})
}

// Messages point at the destination and the packets, and at nothing once the
// call is over.
func TestBatchPointers(t *testing.T) {
	dst := batching.NewDestination(someone, netip.MustParseAddr("192.0.2.9"), 0)
	b := batching.NewBatch()
	bufs, _ := named(128, 100)
	bufs = append(bufs[:100], sized(headroom, 50, 40, 60)...)
	for _, m := range b.Prepare(bufs, headroom, dst) {
		if m.Hdr.Name != &dst.Name()[0] || int(m.Hdr.Namelen) != len(dst.Name()) {
			t.Errorf("address is not that of the destination")
		}
	}
	if b.Pointers() == 0 {
		t.Fatal("no pointers before the release")
	}
	b.Release()
	if n := b.Pointers(); n != 0 {
		t.Errorf("%d pointers after the release", n)
	}
}
