// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"golang.org/x/sys/unix"
)

// xdpRouter returns the path of the router for tests of packets past the kernel.
func xdpRouter(t *testing.T) string {
	t.Helper()
	bin := router(t)
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		testutil.Missing(t, fmt.Sprintf("no AF_XDP sockets: %v", err))
	}
	unix.Close(fd)
	return bin
}

// xdpSections are those of a router with XDP and metrics, with more lines of [Router].
func xdpSections(xdp string, more ...string) string {
	return section("Router", append([]string{"Metrics = " + metricsAt, "XDP = " + xdp}, more...)...)
}

// An xdpStatus is what a router says about its XDP to "router status".
type xdpStatus struct {
	Interface string
	Active    bool
	Reason    string
	Attach    string
	Queues    []struct{ Queue int }
	Kernel    map[string]int64
	Restarts  int
}

// xdpOf returns the status of a router, nil without XDP.
func xdpOf(t *testing.T, d *lab.Device) *xdpStatus {
	t.Helper()
	text, ok := d.Status().Extra["tunrouter_xdp"]
	if !ok {
		return nil
	}
	s := new(xdpStatus)
	if err := json.Unmarshal([]byte(text), s); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s
}

// waitXDP waits until XDP is active and as is wanted.
func waitXDP(t *testing.T, d *lab.Device, what string, ok func(s *xdpStatus) bool) {
	t.Helper()
	lab.Wait(t, lab.Patience, what, func() error {
		s := xdpOf(t, d)
		switch {
		case s == nil:
			return errors.New("XDP is off")
		case !s.Active || s.Reason != "" || s.Attach != "native" || len(s.Queues) == 0 || !ok(s):
			return fmt.Errorf("%+v", *s)
		case d.Host.XDPProgram(s.Interface) == 0:
			return errors.New("said to be active, but the interface has no program")
		}
		return nil
	})
}

// waitActive waits until XDP is active.
func waitActive(t *testing.T, d *lab.Device) {
	t.Helper()
	waitXDP(t, d, "XDP is active", func(*xdpStatus) bool { return true })
}

// waitNoXDP waits until XDP is not active, for the reason.
func waitNoXDP(t *testing.T, d *lab.Device, reason string) {
	t.Helper()
	lab.Wait(t, lab.Patience, "not active: "+reason, func() error {
		if s := xdpOf(t, d); s == nil || s.Active || !strings.Contains(s.Reason, reason) {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
}

// Families that say which way packets took.
const (
	xdpReceived = "router_xdp_receive_packets_total"
	xdpSent     = "router_xdp_transmit_packets_total"
)

// kernelReason is the series of packets that were sent through the kernel's sockets.
func kernelReason(reason string) string {
	return fmt.Sprintf("router_xdp_kernel_packets_total{reason=%q}", reason)
}

// waitGrown waits until series or families have grown by n since before.
func waitGrown(t *testing.T, h *lab.Host, before books, n float64, names ...string) {
	t.Helper()
	lab.Wait(t, lab.Patience, strings.Join(names, ", "), func() error {
		now := scrape(t, h)
		for _, name := range names {
			if got := now.since(before, name); got < n {
				return fmt.Errorf("%s has grown by %v, want %v", name, got, n)
			}
		}
		return nil
	})
}

// wantSmallPast sends single packets from a router to its peer: they go past the kernel.
// They are further apart than what follows bulk through the kernel.
func wantSmallPast(t *testing.T, from *lab.Host, dst netip.Addr) {
	t.Helper()
	before := scrape(t, from)
	lab.Wait(t, lab.Patience, "single packets go past the kernel", func() error {
		r := from.Exec(lab.Command{Path: "ping", Args: []string{"-n", "-q", "-c", "5", "-i", "0.2", "-W", "2", dst.String()}})
		now := scrape(t, from)
		if n := now.since(before, xdpSent); n < 5 || r.Code != 0 {
			return fmt.Errorf("%v did, through the kernel %v\n%s%s", n, now.throughKernel("transmit")-before.throughKernel("transmit"), r.Stdout, r.Stderr)
		}
		return nil
	})
}

// wantRedirected waits until every frame that the program redirected since before has
// been received or has found no room, and every one that was received has been handed on
// or is a drop. before is from a time without XDP.
func wantRedirected(t *testing.T, h *lab.Host, before books) {
	t.Helper()
	refused := func(b books) float64 { return b.dropped("socket_receive") - b[drop("socket_receive", "overflow")] }
	lab.Wait(t, lab.Patience, "what was redirected arrives", func() error {
		b := scrape(t, h)
		redirected, received := b[`router_xdp_frames_total{verdict="redirected"}`], b.sum(xdpReceived)
		lost := b.starting(`router_xdp_statistics_total{`, `"rx_dropped"}`) + b.starting(`router_xdp_statistics_total{`, `"rx_ring_full"}`)
		handed, drops := b.starting(`router_socket_receive_packets_total{use="xdp",`, ""), refused(b)-refused(before)
		if redirected == 0 || redirected != received+lost || received != handed+drops {
			return fmt.Errorf("%v redirected; %v received, %v found no room; %v handed on, %v drops", redirected, received, lost, handed, drops)
		}
		return nil
	})
}

// wantBalance waits until the counters of a router that has not opened its sockets anew
// agree with each other: what the program redirected was received or is a drop, what the
// sockets received was handed on or is a drop, what was to be sent was sent or is a drop.
func wantBalance(t *testing.T, h *lab.Host) {
	t.Helper()
	wantRedirected(t, h, nil)
	lab.Wait(t, lab.Patience, "the counters agree", func() error {
		b := scrape(t, h)
		left := b.starting(`router_path_packets_total{direction="transmit",`, "")
		after := b[drop("socket_transmit", "device")] // they had left
		for _, c := range []struct {
			what    string
			in, out float64
		}{
			{
				"received by sockets", b.sum("router_socket_receive_packets_total"),
				b.sum("router_receive_packets_total") + b.sum("router_discovery_received_messages_total") + b.dropped("receive"),
			},
			{"to be sent", b.sum("router_transmit_messages_total"), left + b.dropped("transmit") + b.dropped("socket_transmit") - after},
			{"sent", left + b.sum("router_discovery_sent_messages_total"), b.sum("router_socket_transmit_packets_total")},
		} {
			if c.in != c.out {
				return fmt.Errorf("%s: %v, but %v are accounted for", c.what, c.in, c.out)
			}
		}
		return nil
	})
}

// starting adds up the series whose names begin and end so.
func (b books) starting(prefix, suffix string) (n float64) {
	for name, v := range b {
		if strings.HasPrefix(name, prefix) && strings.HasSuffix(name, suffix) {
			n += v
		}
	}
	return n
}

// dropped returns the drops of a stage.
func (b books) dropped(stage string) float64 {
	return b.starting(fmt.Sprintf("router_dropped_packets_total{stage=%q,", stage), "")
}

// throughKernel returns how many packets the kernel's sockets of peers have received, or
// sent.
func (b books) throughKernel(direction string) float64 {
	return b.starting("router_socket_"+direction+`_packets_total{use="peers",`, "")
}
