// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp_test

import (
	"encoding/binary"
	"errors"
	"maps"
	"net/netip"
	"os"
	"sync"
	"testing"

	"github.com/tunrouter/tunrouter/batching/xdp/frame"
	"golang.org/x/sys/unix"
)

// A watch looks at the frames of traffic that arrive at far, on any of its interfaces.
type watch struct {
	file    *os.File
	running sync.WaitGroup

	mu   sync.Mutex
	seen map[frame.MAC]numbers // by Ethernet destination
}

// numbers are the lowest and the highest number of packets.
type numbers struct{ first, last, count uint64 }

// watch starts one for packets from src.
func (l *lab) watch(t *testing.T, src netip.Addr) *watch {
	t.Helper()
	w := &watch{seen: make(map[frame.MAC]numbers)}
	l.far.Run(func() {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		must(t, err)
		w.file = os.NewFile(uintptr(fd), "watch")
		must(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20))
		must(t, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: allProtocols}))
	})
	w.running.Go(func() { w.read(src) })
	t.Cleanup(func() {
		w.file.Close()
		w.running.Wait()
	})
	return w
}

// allProtocols is ETH_P_ALL in network byte order.
const allProtocols = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8

func (w *watch) read(src netip.Addr) {
	b := make([]byte, 1<<16)
	for {
		n, err := w.file.Read(b)
		if err == nil {
			w.note(b[:n], src)
		} else if !errors.Is(err, unix.ENETDOWN) {
			return
		}
	}
}

func (w *watch) note(b []byte, src netip.Addr) {
	var d frame.Datagram
	if d.Parse(b) != frame.OK || d.Src.Addr() != src || d.Dst.Port() != port {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	// Several of the kernel's may be merged.
	for data := d.Payload(b); len(data) >= trafficLoad; data = data[trafficLoad:] {
		n := binary.BigEndian.Uint64(data)
		s, known := w.seen[d.Target]
		if !known {
			s.first = n
		}
		w.seen[d.Target] = numbers{min(s.first, n), max(s.last, n), s.count + 1}
	}
}

// at returns what was sent to an Ethernet address.
func (w *watch) at(mac frame.MAC) numbers {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[mac]
}

// only checks that nothing was sent to other Ethernet addresses than these.
func (w *watch) only(t *testing.T, macs ...frame.MAC) {
	t.Helper()
	w.mu.Lock()
	rest := maps.Clone(w.seen)
	w.mu.Unlock()
	for _, m := range macs {
		if rest[m].count == 0 {
			t.Errorf("nothing was sent to %v", m)
		}
		delete(rest, m)
	}
	for m, n := range rest {
		t.Errorf("%d packets to %v, from number %d to %d", n.count, m, n.first, n.last)
	}
}
