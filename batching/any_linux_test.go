// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching_test

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tunrouter/tunrouter/batching"
	"golang.org/x/sys/unix"
)

// TestAnyProtocolEmpty: empty datagrams arrive, in order with all others, also
// when there are more than descriptors.
func TestAnyProtocolEmpty(t *testing.T) {
	for _, plain := range []bool{false, true} {
		c := listen(t, "udp4", &batching.Options{AnyProtocol: true, DisableBatching: plain})
		from, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(c.LocalAddr()))
		if err != nil {
			t.Fatal(err)
		}
		defer from.Close()
		want := []string{"", "a", "", "", "bb", "", "c", "", "", ""}
		for _, p := range want {
			if _, err := from.Write([]byte(p)); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		slab, pkts := make([]byte, 8<<10), make([]batching.Packet, 3)
		for len(got) < len(want) {
			n, err := c.ReadBatch(slab, pkts)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range pkts[:n] {
				got = append(got, string(slab[p.Offset:p.Offset+p.Size]))
				if p.Remote != from.LocalAddr().(*net.UDPAddr).AddrPort() {
					t.Errorf("from %v, want %v", p.Remote, from.LocalAddr())
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("plain %t: packets (-want +got):\n%s", plain, diff)
		}
		if rx := c.Stats().Rx; rx.Packets != uint64(len(want)) || rx.Dropped["empty"] != 0 {
			t.Errorf("plain %t: got %d packets and %v dropped, want %d and none", plain, rx.Packets, rx.Dropped, len(want))
		}
	}
}

// TestAnyProtocolNeverWaits: a full send buffer loses what does not fit.
func TestAnyProtocolNeverWaits(t *testing.T) {
	c, k := scripted(t, &batching.Options{AnyProtocol: true})
	k.refuse = func(msgs []sent, wait bool) (int, error) {
		if wait {
			t.Error("waits for room in the send buffer")
		}
		return 0, unix.EAGAIN
	}
	bufs, _ := named(3, 100)
	n, err := c.WriteBatch(bufs, headroom, batching.NewDestination(someone, netip.Addr{}, 0), 0)
	if n != 0 || !errors.Is(err, unix.EAGAIN) {
		t.Errorf("got %d, %v, want 0, %v", n, err, unix.EAGAIN)
	}
	if got := c.Stats().Tx.Dropped["no_buffers"]; got != 3 {
		t.Errorf("%d dropped, want 3", got)
	}
}

// TestAnyProtocolNoSentinel: where a sentinel is needed nothing is segmented.
func TestAnyProtocolNoSentinel(t *testing.T) {
	c := listen(t, "udp4", &batching.Options{AnyProtocol: true, Sentinel: batching.On})
	gso, _, reasons := c.Capabilities()
	if gso || !strings.Contains(strings.Join(reasons, "\n"), "corrupted") {
		t.Errorf("gso %t, reasons %q", gso, reasons)
	}
	var fixed *batching.FixedError
	if err := c.Reconfigure(nil); !errors.As(err, &fixed) || fixed.Option != "AnyProtocol" {
		t.Errorf("reconfigured with %v, want a FixedError", err)
	}
}
