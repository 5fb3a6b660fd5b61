// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/tunrouter/tunrouter/batching/xdp/nexthop"
	"github.com/tunrouter/tunrouter/geneve"
)

// Everything goes past the kernel, in order, whatever the number.
func TestWrite(t *testing.T) {
	for _, to := range []netip.AddrPort{far4, far6} {
		for _, n := range []int{0, 1, writeFrames - 1, writeFrames, writeFrames + 1, 300} {
			r := newActiveRig(t, 100) // fewer than 300
			want := numbered(n)
			if k, err := r.c.WriteBatch(bufsOf(3, want), 3, dest(to), 0); k != n || err != nil {
				t.Fatalf("%d packets: %d, %v", n, k, err)
			}
			if got := payloadsOf(t, r.sock.sent, to); !slices.Equal(got, want) {
				t.Errorf("%d packets: sent %q", n, got)
			}
			st := r.c.Stats().Tx
			if r.v4.calls+r.v6.calls != 0 || st.Packets != uint64(n) || st.Bytes != uint64(len(strings.Join(want, ""))) {
				t.Errorf("%d packets: %d calls of the kernel, counted %+v", n, r.v4.calls+r.v6.calls, st)
			}
		}
	}
}

// A VNI puts a Geneve header in front, and writes into nobody's buffer for it.
func TestWriteVNI(t *testing.T) {
	r := newActiveRig(t, 8)
	bufs := bufsOf(8, []string{"one", ""})
	if n, err := r.c.WriteBatch(bufs, 8, dest(far6), ourVNI); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	for i, p := range payloadsOf(t, r.sock.sent, far6) {
		var h geneve.Header
		if err := h.Decode([]byte(p)); err != nil || h.VNI != ourVNI || h.Protocol != geneve.ProtocolWireGuard || p[geneve.HeaderLen:] != string(bufs[i][8:]) {
			t.Errorf("packet %d: %+v, %v, %q", i, h, err, p)
		}
	}
	if n := r.c.Stats().Tx.Bytes; n != 3+2*geneve.HeaderLen {
		t.Errorf("counted %d bytes", n)
	}
}

// The kernel's socket gets what cannot go past it, with the reason counted.
func TestWriteThroughKernel(t *testing.T) {
	reasons := map[string]func(r *rig){
		"inactive": func(r *rig) { r.c.stopSending() },
		"full":     func(r *rig) { r.sock.tx = newPool(0) },
		"down":     func(r *rig) { r.sock.transmit = func(int) (int, error) { return 0, syscall.ENETDOWN } },
		"too_long": func(r *rig) { r.routes.hop4.MTU, r.routes.hop6.MTU = 30, 30 },
		"invalid":  func(r *rig) { r.routes.hop4.Target, r.routes.hop6.Target = [6]byte{}, [6]byte{} },
	}
	for reason := nexthop.OK + 1; reason < nexthop.Reasons; reason++ {
		reasons[labelOf(reason.String())] = func(r *rig) { r.routes.reason = reason }
	}
	want := numbered(70)
	for reason, change := range reasons {
		synctest.Test(t, func(t *testing.T) {
			for _, to := range []netip.AddrPort{far4, far6} {
				r := newActiveRig(t, 8)
				change(r)
				if n, err := r.c.WriteBatch(bufsOf(9, want), 9, dest(to), ourVNI); n != len(want) || err != nil {
					t.Fatal(reason, n, err)
				}
				took, other := r.v4.took, r.v6.took
				if to.Addr().Is6() {
					took, other = other, took
				}
				if !slices.Equal(took, want) || len(other) != 0 || len(r.sock.sent) != 0 {
					t.Errorf("%s: the kernel got %q, its other socket %q, past it %d", reason, took, other, len(r.sock.sent))
				}
				if got := kernelCounts(r.c); !maps.Equal(got, map[string]uint64{reason: uint64(len(want))}) {
					t.Errorf("counted %v, want %s", got, reason)
				}
				if n := r.c.Stats().Tx.Packets; n != 0 {
					t.Errorf("%s: %d packets counted as sent", reason, n)
				}
			}
		})
	}
}

func TestWriteLinkLocal(t *testing.T) {
	r := newActiveRig(t, 8)
	to := netip.AddrPortFrom(farLL.Addr().WithZone("9"), farLL.Port())
	if n, err := r.c.WriteBatch(bufsOf(0, numbered(3)), 0, dest(to), 0); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	if got := kernelCounts(r.c); !maps.Equal(got, map[string]uint64{"link_local": 3}) || len(r.v6.took) != 3 {
		t.Errorf("counted %v, the kernel got %q", got, r.v6.took)
	}
}

// From the first packet on that does not fit, all go through the kernel, each once.
func TestWriteTooLongInside(t *testing.T) {
	for _, at := range []int{0, 1, 63, 64, 65, 99} {
		r := newActiveRig(t, 80)
		want := numbered(100)
		want[at] = strings.Repeat("x", ourMTU)
		if n, err := r.c.WriteBatch(bufsOf(0, want), 0, dest(far4), 0); n != 100 || err != nil {
			t.Fatal(n, err)
		}
		past := payloadsOf(t, r.sock.sent, far4)
		if !slices.Equal(past, want[:at]) || !slices.Equal(r.v4.took, want[at:]) || r.v4.calls != 1 {
			t.Errorf("at %d: %d past the kernel, then %d in %d calls", at, len(past), len(r.v4.took), r.v4.calls)
		}
		if got := kernelCounts(r.c); got["too_long"] != uint64(100-at) || len(got) != 1 {
			t.Errorf("at %d: counted %v", at, got)
		}
	}
}

// The MTU holds for the IP packet, to the byte.
func TestWriteMTU(t *testing.T) {
	for _, tt := range []struct {
		to  netip.AddrPort
		vni geneve.VNI
		fit int
	}{
		{far4, 0, ourMTU - 28}, {far4, ourVNI, ourMTU - 36}, {far6, 0, ourMTU - 48}, {far6, ourVNI, ourMTU - 56},
	} {
		r := newActiveRig(t, 8)
		for size := tt.fit - 1; size <= tt.fit+1; size++ {
			if n, err := r.c.WriteBatch([][]byte{make([]byte, 8+size)}, 8, dest(tt.to), tt.vni); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		}
		if past := len(r.sock.sent); past != 2 || kernelCounts(r.c)["too_long"] != 1 || len(r.sock.sent[1]) != ourMTU+14 {
			t.Errorf("%v, VNI %v: %d past the kernel, want those of %d and %d bytes", tt.to, tt.vni, past, tt.fit-1, tt.fit)
		}
	}
}

// A packet that fits the route and not the socket's memory is for the kernel.
func TestWriteLargerThanFrame(t *testing.T) {
	r := newActiveRig(t, 8)
	r.routes.hop4.MTU = 9000
	want := []string{strings.Repeat("x", frameBytes-42), strings.Repeat("y", frameBytes-41)}
	if n, err := r.c.WriteBatch(bufsOf(0, want), 0, dest(far4), 0); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	if !slices.Equal(r.v4.took, want[1:]) || !slices.Equal(payloadsOf(t, r.sock.sent, far4), want[:1]) {
		t.Errorf("%d past the kernel, %d through it", len(r.sock.sent), len(r.v4.took))
	}
}

// Concurrent writers keep their own order, and nothing is lost or sent twice.
func TestWriteConcurrent(t *testing.T) {
	const writers, calls = 6, 30
	r := newActiveRig(t, 40)
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for call := range calls {
				bufs := bufsOf(0, numbered(20))
				for i := range bufs {
					bufs[i] = append(bufs[i], byte(w), byte(call), byte(i))
				}
				if n, err := r.c.WriteBatch(bufs, 0, dest(far4), 0); n != len(bufs) || err != nil {
					t.Error(n, err)
				}
			}
		})
	}
	all.Wait()
	seen := make(map[string]bool)
	var next [writers]int
	for _, p := range append(payloadsOf(t, r.sock.sent, far4), r.v4.took...) {
		key := p[len(p)-3:]
		if seen[key] {
			t.Fatalf("sent twice: %x", key)
		}
		seen[key] = true
	}
	for _, p := range payloadsOf(t, r.sock.sent, far4) {
		w, at := p[len(p)-3], int(p[len(p)-2])*20+int(p[len(p)-1])
		if at < next[w] {
			t.Fatalf("writer %d: %d after %d", w, at, next[w])
		}
		next[w] = at
	}
	if len(seen) != writers*calls*20 {
		t.Errorf("%d packets sent, want %d", len(seen), writers*calls*20)
	}
}
