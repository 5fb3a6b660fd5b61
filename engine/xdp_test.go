// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine_test

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tunrouter/tunrouter/batching/xdp"
	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/metrics"
	"github.com/tunrouter/tunrouter/uapi"
)

// number sets each integer of v to another number, from one above n on.
func number(v reflect.Value, n *uint64) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			number(v.Field(i), n)
		}
	case reflect.Uint64:
		*n++
		v.SetUint(*n)
	}
}

// xdpStatus is that of an underlay with two of three queues.
func xdpStatus() *xdp.Status {
	st := &xdp.Status{
		Interface: "eth0", Index: 4, Active: true, Attach: "native", Refusals: []string{"a=b"}, Restarts: 6,
		Queues: []xdp.QueueStatus{{Active: true, ZeroCopy: true}, {Queue: 1, Active: true}, {Queue: 2}},
		Kernel: map[string]uint64{"full": 0, "unresolved": 2}, Program: map[string]uint64{"redirected": 5, "port": 0},
	}
	var n uint64
	for i := range st.Queues {
		number(reflect.ValueOf(&st.Queues[i].Socket).Elem(), &n)
	}
	return st
}

// The status comes back from a line that other programs ignore.
func TestXDPLines(t *testing.T) {
	asked := config.XDP{On: true, Queues: 3}
	st := xdpStatus()
	for _, tt := range []struct {
		name string
		st   *xdp.Status
		err  error
		want engine.XDPInfo
	}{
		{"active", st, nil, engine.XDPInfo{
			Asked: "auto:3", Interface: "eth0", Active: true, Attach: "native", Refusals: []string{"a=b"}, QueuesAsked: 3, Restarts: 6,
			Queues: []engine.XDPQueueInfo{
				{ZeroCopy: true, RxPackets: st.Queues[0].Socket.RxPackets, TxPackets: st.Queues[0].Socket.TxPackets},
				{Queue: 1, RxPackets: st.Queues[1].Socket.RxPackets, TxPackets: st.Queues[1].Socket.TxPackets},
			},
			Kernel: map[string]uint64{"unresolved": 2}, Program: map[string]uint64{"redirected": 5},
		}},
		{"waiting", &xdp.Status{Reason: "no default route"}, nil, engine.XDPInfo{Asked: "auto:3", QueuesAsked: 3, Reason: "no default route"}},
		{"not open", nil, errors.New("because\nof = that"), engine.XDPInfo{Asked: "auto:3", QueuesAsked: 3, Reason: "because\nof = that"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lines, err := engine.XDPLines(asked, tt.st, tt.err)
			if err != nil {
				t.Fatal(err)
			}
			text := string((&uapi.Device{Extra: lines}).AppendTo(nil))
			if strings.Count(text, "=") != 1 || strings.Count(text, "\n") != 1 {
				t.Errorf("not one line with one =:\n%s", text)
			}
			d, err := uapi.ParseDevice(strings.NewReader(text + "\n"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tt.want, engine.XDPOf(d)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if x := engine.XDPOf(&uapi.Device{}); x != nil {
		t.Errorf("without a line: %+v", x)
	}
}

// Each number of a queue is in the metrics, in one place.
func TestXDPMetrics(t *testing.T) {
	st := xdpStatus()
	got := engine.XDPMetrics(config.XDP{On: true}, st)
	if got.Interface != "eth0" || !got.Active || got.Attach != "native" || got.Restarts != 6 || len(got.Queues) != 3 {
		t.Errorf("metrics have %+v", got)
	}
	want := []metrics.Count{{Name: "full"}, {Name: "unresolved", N: 2}}
	if diff := cmp.Diff(want, got.Kernel); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]metrics.Count{{Name: "port"}, {Name: "redirected", N: 5}}, got.Program); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var numbers func(v reflect.Value, found map[uint64]int)
	numbers = func(v reflect.Value, found map[uint64]int) {
		if v.Kind() == reflect.Struct {
			for i := range v.NumField() {
				numbers(v.Field(i), found)
			}
		} else if v.Kind() == reflect.Uint64 {
			found[v.Uint()]++
		}
	}
	for i := range got.Queues {
		q, from := &got.Queues[i], &st.Queues[i]
		if q.Queue != from.Queue || q.Active != from.Active || q.ZeroCopy != from.ZeroCopy {
			t.Errorf("queue %d is %+v, want %+v", i, q, from)
		}
		have, count := make(map[uint64]int), make(map[uint64]int)
		numbers(reflect.ValueOf(*q), have)
		numbers(reflect.ValueOf(from.Socket), count)
		if diff := cmp.Diff(count, have); diff != "" {
			t.Errorf("queue %d (-want +got):\n%s", i, diff)
		}
	}
	c, k := &st.Queues[1].Socket, &st.Queues[1].Socket.Kernel
	one := metrics.XDPQueue{
		Queue: 1, Active: true, Receive: metrics.Traffic{Packets: c.RxPackets, Bytes: c.RxBytes}, Transmit: metrics.Traffic{Packets: c.TxPackets, Bytes: c.TxBytes},
		Completed: c.TxCompleted, Dropped: c.TxDropped, RxWakes: c.RxWakes, TxWakes: c.TxWakes, TxSpared: c.TxSpared, TxAgain: c.TxAgain, RxBad: c.RxBad, TxBad: c.TxBad, RxTooLong: c.RxTooLong,
		Statistics: metrics.XDPStatistics{
			RxDropped: k.RxDropped, RxRingFull: k.RxRingFull, RxFillRingEmpty: k.RxFillEmpty, TxRingEmpty: k.TxRingEmpty, RxInvalid: k.RxBadDescs, TxInvalid: k.TxBadDescs,
		},
	}
	if diff := cmp.Diff(one, got.Queues[1]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for asked, want := range map[config.XDP]string{{On: true}: "auto", {On: true, Interface: "eth7"}: "eth7"} {
		for _, st := range []*xdp.Status{nil, {}} {
			if got := engine.XDPMetrics(asked, st); got.Interface != want || got.Active {
				t.Errorf("XDP = %s, %+v: metrics have %+v", asked, st, got)
			}
		}
	}
}

func TestXDPAdvice(t *testing.T) {
	auto, eth0 := config.XDP{On: true}, config.XDP{On: true, Interface: "eth0"}
	for _, tt := range []struct {
		name                   string
		asked                  config.XDP
		st                     *xdp.Status
		failed                 error
		severity, text, remedy string
	}{
		{"all is well", eth0, xdpStatus(), nil, "", "", ""},
		{"no interface", eth0, &xdp.Status{Interface: "eth0", Reason: "no interface eth0"}, nil,
			"warning", "no interface eth0", `"router xdp check eth0"`},
		{"no route", auto, &xdp.Status{Reason: "no default route"}, nil, "warning", "no default route", "name the interface"},
		{"no address on what auto found", auto, &xdp.Status{Interface: "eth1", Reason: "eth1 has no address"}, nil,
			"warning", "no address", `"router xdp check eth1"`},
		{"generic", eth0, &xdp.Status{Interface: "eth0", Active: true, Attach: "generic"}, nil, "info", "generic", `"router xdp check eth0"`},
		{"no privilege", auto, nil, fmt.Errorf("socket: %w", fs.ErrPermission), "warning", "socket: permission denied", "as root"},
		{"no AF_XDP", eth0, nil, fmt.Errorf("socket: %w", errors.ErrUnsupported), "warning", "socket: unsupported", "remove XDP"},
		{"other", eth0, nil, errors.New("strange"), "warning", "strange", "remove XDP"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			list := engine.XDPAdvice(tt.asked, tt.st, tt.failed)
			if tt.severity == "" {
				if len(list) != 0 {
					t.Errorf("advice %+v", list)
				}
				return
			}
			if len(list) != 1 || list[0].ID != "xdp" || list[0].Severity != tt.severity ||
				!strings.Contains(list[0].Text, tt.text) || !strings.Contains(list[0].Remedy, tt.remedy) {
				t.Errorf("advice is %+v, want %s, %q and %q", list, tt.severity, tt.text, tt.remedy)
			}
		})
	}
}

// What can not be opened leaves a router with the kernel's sockets, which says why, and a
// reload takes it away again.
func TestXDPNotOpened(t *testing.T) {
	testutil.LeakCheck(t)
	s := newSite(t, 1)
	s.cfg.Router.XDP = config.XDP{On: true, Interface: "lo", Queues: xdp.MaxQueues + 1} // no file says so
	s.start()
	d, err := s.Status()
	if err != nil {
		t.Fatal(err)
	}
	if x := engine.XDPOf(d); x == nil || x.Active || x.Reason == "" || x.Asked != "lo:17" || s.ListenPort() == 0 {
		t.Errorf("status is %+v, port %d", x, s.ListenPort())
	}
	if m := s.Snapshot().XDP; m == nil || m.Active {
		t.Errorf("metrics have %+v", m)
	}
	cfg := s.clone()
	for range 2 {
		if err := s.Reload(cfg); err != nil {
			t.Errorf("reload: %v", err)
		}
		cfg.Router.XDP = config.XDP{}
	}
	if d, err = s.Status(); err != nil || engine.XDPOf(d) != nil || s.Snapshot().XDP != nil {
		t.Errorf("after it was switched off: %+v, %v", engine.XDPOf(d), err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
