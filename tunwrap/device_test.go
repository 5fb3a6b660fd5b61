// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tailscale/wireguard-go/tun"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/tunwrap"
)

func wrap(t testing.TB, dev tun.Device, o *tunwrap.Options) *tunwrap.Device {
	t.Helper()
	d, err := tunwrap.Wrap(dev, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestWrap_nil(t *testing.T) {
	if d, err := tunwrap.Wrap(nil, nil); err == nil || d != nil {
		t.Errorf("Wrap(nil) = %v, %v, want an error", d, err)
	}
}

// TestWrap_forwards checks that nothing of the wrapped device is lost.
func TestWrap_forwards(t *testing.T) {
	f := newFakeTUN()
	f.queues = 3
	var flows []int
	f.write = func(flow int, bufs [][]byte, _ int) (int, error) {
		flows = append(flows, flow)
		return len(bufs), nil
	}
	d := wrap(t, f, nil)
	if got := len(d.Queues()); got != 3 {
		t.Errorf("%d queues, want 3", got)
	}
	for _, flow := range []int{5, 0, -1} {
		if n, err := d.WriteTo(flow, [][]byte{make([]byte, 40)}, 16); n != 1 || err != nil {
			t.Errorf("WriteTo flow %d: %d, %v", flow, n, err)
		}
	}
	if diff := cmp.Diff([]int{5, 0, -1}, flows); diff != "" {
		t.Errorf("flows (-want +got):\n%s", diff)
	}
	if mtu, err := d.MTU(); mtu != 1400 || err != nil {
		t.Errorf("MTU %d, %v", mtu, err)
	}
	if name, err := d.Name(); name != "fake0" || err != nil {
		t.Errorf("Name %q, %v", name, err)
	}
	if d.BatchSize() != 128 {
		t.Errorf("BatchSize %d", d.BatchSize())
	}
	d.DisableTCPGRO()
	d.DisableUDPGRO()
	if f.tcp != 1 || f.udp != 1 {
		t.Errorf("GRO was disabled %d and %d times, want once each", f.tcp, f.udp)
	}
	s := d.Stats()
	if s.QueuesRequested != 3 || len(s.Queues) != 3 || s.Queues[0].Batched || s.Queues[0].Plain == "" {
		t.Errorf("stats %+v", s)
	}
	for range 2 {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	if f.closes != 1 {
		t.Errorf("wrapped device was closed %d times, want once", f.closes)
	}
}

// TestLastKnown checks that name and MTU survive their being unknown.
func TestLastKnown(t *testing.T) {
	f := newFakeTUN()
	unknown := false
	f.mtu = func() (int, error) {
		if unknown {
			return 0, errors.New("no such device")
		}
		return 1380, nil
	}
	d := wrap(t, f, nil)
	unknown = true
	f.name = func() (string, error) { return "", errors.New("no such device") }
	if mtu, err := d.MTU(); mtu != 1380 || err != nil {
		t.Errorf("MTU %d, %v, want the last known", mtu, err)
	}
	if name, err := d.Name(); name != "fake0" || err != nil {
		t.Errorf("Name %q, %v, want the last known", name, err)
	}

	f = newFakeTUN()
	f.mtu = func() (int, error) { return 0, errors.New("no such device") }
	f.name = func() (string, error) { return "", errors.New("no such device") }
	d = wrap(t, f, nil)
	if mtu, err := d.MTU(); err == nil {
		t.Errorf("MTU %d without ever knowing one, want an error", mtu)
	}
	if name, err := d.Name(); err == nil {
		t.Errorf("Name %q without ever knowing one, want an error", name)
	}
}

// TestPlainRead checks the accounting and the errors of a queue that the
// wrapped device reads.
func TestPlainRead(t *testing.T) {
	f := newFakeTUN()
	broken := errors.New("broken")
	results := []struct {
		sizes []int
		err   error
	}{{[]int{100}, nil}, {[]int{100, 200, 300}, nil}, {[]int{50}, tun.ErrTooManySegments}, {nil, broken}}
	next := 0
	f.read = func(_ []byte, packets []tun.ReadPacket) (int, error) {
		r := results[next]
		next++
		for i, size := range r.sizes {
			packets[i] = tun.ReadPacket{Offset: 64, Size: size}
		}
		return len(r.sizes), r.err
	}
	d := wrap(t, f, nil)
	for _, r := range results {
		n, err := d.Read(make([]byte, deviceSlab), make([]tun.ReadPacket, maxBatch))
		if n != len(r.sizes) || err != r.err {
			t.Errorf("Read returned %d, %v, want %d, %v", n, err, len(r.sizes), r.err)
		}
	}
	want := tunwrap.ReadStats{
		Packets: 5, Bytes: 750, Reads: 3, Batches: tunwrap.Histogram{2, 1},
		Dropped: tunwrap.ReadDrops{Oversized: 1},
	}
	if diff := cmp.Diff(want, d.Stats().Queues[0].Read); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
	d.Close()
	if _, err := d.Read(nil, nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read after Close: %v", err)
	}
}

func TestMerge(t *testing.T) {
	const up, down, mtu = tun.EventUp, tun.EventDown, tun.EventMTUUpdate
	for _, test := range []struct{ old, e, want tun.Event }{
		{0, up, up},
		{up, down, down},
		{down, up, up},
		{up | mtu, down, down | mtu},
		{down, mtu, down | mtu},
		{mtu, mtu, mtu},
	} {
		if got := tunwrap.Merge(test.old, test.e); got != test.want {
			t.Errorf("Merge(%b, %b) = %b, want %b", test.old, test.e, got, test.want)
		}
	}
}

// TestEvents checks that events come through, that nobody reading them blocks
// neither the wrapped device nor Close, and that Close ends them.
func TestEvents(t *testing.T) {
	testutil.LeakCheck(t)
	f := newFakeTUN()
	f.events = make(chan tun.Event) // as sensitive as can be
	d := wrap(t, f, nil)
	f.events <- tun.EventUp
	if e := <-d.Events(); e != tun.EventUp {
		t.Errorf("event %b, want up", e)
	}
	for range 10 {
		f.events <- tun.EventDown
		f.events <- tun.EventUp
		f.events <- tun.EventMTUUpdate
	}
	if e := <-d.Events(); e != tun.EventUp|tun.EventMTUUpdate {
		t.Errorf("event %b, want up and MTU", e)
	}
	f.events <- tun.EventDown // never taken
	d.Close()
	for e := range d.Events() {
		t.Errorf("event %b after Close", e)
	}
}

func TestWrapLeaks(t *testing.T) {
	testutil.LeakCheck(t)
	for range 100 {
		d := wrap(t, newFakeTUN(), nil)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// The result of Close is the device's, unless it says that something was closed
// already.
func TestCloseError(t *testing.T) {
	for _, test := range []struct{ inner, want error }{
		{nil, nil},
		{errors.New("no"), errors.New("no")},
		{&os.PathError{Op: "write", Path: "|1", Err: os.ErrClosed}, nil},
	} {
		f := newFakeTUN()
		f.closeErr = test.inner
		d, err := tunwrap.Wrap(f, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := d.Close(); fmt.Sprint(err) != fmt.Sprint(test.want) {
				t.Errorf("Close: %v, want %v", err, test.want)
			}
		}
	}
}
