// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet_test

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tunrouter/tunrouter/internal/hostnet"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/vishvananda/netlink"
)

// linkStats returns the counters of an interface of the namespace.
func linkStats(h *host, name string) (s *hostnet.LinkStatistics, err error) {
	h.Run(func() { s, err = hostnet.LinkStats(name) })
	return s, err
}

// fromSysfs returns the counters of an interface as /sys/class/net shows them. A
// sysfs shows the namespace it was mounted in, so one is mounted for this.
func fromSysfs(h *host, name string) *hostnet.LinkStatistics {
	h.t.Helper()
	var out []byte
	h.Run(func() {
		var err error
		out, err = exec.Command("unshare", "--mount", "sh", "-ec",
			"mount -t sysfs none /sys; cd /sys/class/net/"+name+"/statistics; grep . *").CombinedOutput()
		if err != nil {
			h.t.Fatalf("read /sys: %v\n%s", err, out)
		}
	})
	s := &hostnet.LinkStatistics{RxNoHandler: new(uint64(0))}
	places := map[string]*uint64{
		"rx_packets": &s.RxPackets, "tx_packets": &s.TxPackets, "rx_bytes": &s.RxBytes, "tx_bytes": &s.TxBytes,
		"rx_errors": &s.RxErrors, "tx_errors": &s.TxErrors, "rx_dropped": &s.RxDropped, "tx_dropped": &s.TxDropped,
		"multicast": &s.Multicast, "collisions": &s.Collisions,
		"rx_length_errors": &s.RxLengthErrors, "rx_over_errors": &s.RxOverErrors, "rx_crc_errors": &s.RxCRCErrors,
		"rx_frame_errors": &s.RxFrameErrors, "rx_fifo_errors": &s.RxFIFOErrors, "rx_missed_errors": &s.RxMissedErrors,
		"tx_aborted_errors": &s.TxAbortedErrors, "tx_carrier_errors": &s.TxCarrierErrors, "tx_fifo_errors": &s.TxFIFOErrors,
		"tx_heartbeat_errors": &s.TxHeartbeatErrors, "tx_window_errors": &s.TxWindowErrors,
		"rx_compressed": &s.RxCompressed, "tx_compressed": &s.TxCompressed, "rx_nohandler": s.RxNoHandler,
	}
	for line := range strings.Lines(string(out)) {
		file, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if places[file] == nil {
			continue // a counter of a kernel to come
		}
		if _, err := fmt.Sscan(value, places[file]); err != nil {
			h.t.Fatalf("%s: %v", line, err)
		}
		delete(places, file)
	}
	if len(places) != 0 {
		h.t.Fatalf("/sys/class/net/%s/statistics has not all files:\n%s", name, out)
	}
	return s
}

// wantSysfs checks that the counters are those of /sys. Some host traffic may come
// in between, so it tries again.
func wantSysfs(h *host, name string, get func() *hostnet.LinkStatistics) {
	h.t.Helper()
	testutil.Eventually(h.t, 10*time.Second, "counters of "+name+" equal those of /sys", func() error {
		got, want := get(), fromSysfs(h, name)
		if got == nil || got.RxNoHandler == nil {
			return fmt.Errorf("got %v", got)
		}
		want.RxOtherHostDropped = got.RxOtherHostDropped // has no file
		if diff := cmp.Diff(want, got); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
}

// overrun sends 20 packets into wg0, whose queue holds 5, and lets one be written.
func overrun(h *host) {
	h.t.Helper()
	h.sh("ip address add 10.0.0.1/24 dev wg0; ip link set wg0 txqueuelen 5 up; ip link set lo up")
	h.sh("ping -q -c 20 -i 0.01 -W 0.01 10.0.0.2 >/dev/null || test $? = 1")
	_, err := h.tun.Fds[0].Write([]byte{0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1})
	if err != nil {
		h.t.Fatal(err)
	}
}

func TestLinkStats(t *testing.T) {
	h := newHost(t)
	testutil.NeedTool(t, "ping", "unshare")
	overrun(h)
	h.sh("ping -q -c 20 -i 0.01 -W 0.01 192.0.2.77 >/dev/null || test $? = 1") // ARP requests, to peer0
	for _, name := range []string{"wg0", "eth0", "peer0", "lo"} {
		wantSysfs(h, name, func() *hostnet.LinkStatistics {
			s, err := linkStats(h, name)
			if err != nil {
				t.Fatal(err)
			}
			return s
		})
	}
	if s, err := linkStats(h, "wg0"); err != nil || s.TxDropped == 0 || s.RxPackets+s.RxDropped+s.RxErrors == 0 {
		t.Errorf("the TUN device was overrun and written to: %+v, %v", s, err)
	}
	if s, err := linkStats(h, "peer0"); err != nil || s.RxPackets == 0 || s.RxBytes == 0 {
		t.Errorf("the veth has received: %+v, %v", s, err)
	}
	if _, err := linkStats(h, "none0"); !errors.Is(err, hostnet.ErrLinkGone) {
		t.Errorf("an interface that is not there: error %v", err)
	}
}

// watchLink opens a watch in the namespace and lets it be used outside.
func watchLink(h *host, name string) *hostnet.LinkWatch {
	h.t.Helper()
	var w *hostnet.LinkWatch
	h.Run(func() {
		link, err := netlink.LinkByName(name)
		if err != nil {
			h.t.Fatal(err)
		}
		if w, err = hostnet.NewLinkWatch(link.Attrs().Index); err != nil {
			h.t.Fatal(err)
		}
	})
	h.t.Cleanup(w.Close)
	return w
}

func wantGone(t *testing.T, what string, w *hostnet.LinkWatch) {
	t.Helper()
	hostnet.Expire(w)
	if s, ok := w.Latest(); ok || s != nil || !w.Gone() {
		t.Errorf("%s: got %v, known %t, gone %t", what, s, ok, w.Gone())
	}
}

func TestLinkWatchKernel(t *testing.T) {
	testutil.LeakCheck(t)
	h := newHost(t)
	testutil.NeedTool(t, "ping", "unshare")
	w := watchLink(h, "wg0")
	overrun(h)
	latest := func() *hostnet.LinkStatistics {
		hostnet.Expire(w)
		s, _ := w.Latest()
		return s
	}
	wantSysfs(h, "wg0", latest)
	before := latest()

	h.sh("ip link set wg0 down; ip link set wg0 name other0; ip link set other0 up")
	if s := latest(); s == nil || s.TxDropped < before.TxDropped || before.TxDropped == 0 {
		t.Errorf("after the rename: %+v; before: %+v", s, before)
	}
	wantSysfs(h, "other0", latest)

	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for range 100 {
				hostnet.Expire(w)
				w.Latest()
			}
		})
	}
	readers.Wait()

	h.closeTUN() // deletes it
	wantGone(t, "deleted", w)
}

func TestLinkWatchMove(t *testing.T) {
	h := newHost(t)
	elsewhere := testutil.NewNS(t)
	w := watchLink(h, "wg0")
	h.Run(func() {
		link, err := netlink.LinkByName("wg0")
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.LinkSetNsFd(link, int(elsewhere.File().Fd())); err != nil {
			t.Fatal(err)
		}
	})
	wantGone(t, "moved", w)
	elsewhere.Run(func() {
		s, err := hostnet.LinkStats("wg0")
		if err != nil || s == nil {
			t.Errorf("it is in the other namespace: %v, %v", s, err)
		}
	})
	if slices.Contains(strings.Fields(h.sh("ip -br link")), "wg0") {
		t.Error("it is still here")
	}
}

func BenchmarkLinkStats(b *testing.B) {
	w, err := hostnet.NewLinkWatch(1) // the loopback device
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	b.ReportAllocs()
	for b.Loop() {
		hostnet.Expire(w)
		w.Latest()
	}
}
