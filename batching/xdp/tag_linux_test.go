// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp_test

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/batching/xdp"
	"github.com/tunrouter/tunrouter/batching/xdp/frame"
	"github.com/tunrouter/tunrouter/batching/xdp/redirect"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"golang.org/x/sys/unix"
)

// TestTag looks at the tags of frames with the eyes of the kernel: those that are sent
// have the VLAN's, those that are received need it, whatever their priority.
func TestTag(t *testing.T) {
	for _, mode := range []redirect.Mode{redirect.ModeNative, redirect.ModeGeneric} {
		t.Run(mode.String(), func(t *testing.T) {
			testutil.LeakCheck(t)
			l := newHosts(t, 1)
			l.knowEachOther(t)
			l.under = openVLAN(t, l.near, "eth0", mode)
			w := l.wire(t)
			for _, addrs := range [][2]netip.Addr{{near4, far4}, {near6, far6}} {
				testTag(t, l, w, addrs[0], addrs[1])
			}
		})
	}
}

func testTag(t *testing.T, l *lab, w *wire, near, far netip.Addr) {
	t.Helper()
	conn := l.under.Conns()[0]
	testutil.Eventually(t, 20*time.Second, "way to "+far.String(), func() error {
		_, err := conn.WriteBatch([][]byte{[]byte(payload)}, 0, batching.NewDestination(netip.AddrPortFrom(far, port), near, 0), 0)
		return err
	})
	if tag := w.tagOf(t, payload); tag != (frame.Tag{Type: frame.TypeCTag, TCI: labVLAN}) {
		t.Errorf("sent with the tag %+v", tag)
	}
	plain := func(text string) []byte { return w.datagram(t, far, near, text) }
	w.send(t, plain("no tag"))
	w.send(t, insert(plain("another VLAN"), 12, 0x81, 0, 0, labVLAN+1))
	w.send(t, insert(plain("two tags"), 12, 0x88, 0xa8, 0, labVLAN, 0x81, 0, 0, labVLAN))
	w.send(t, insert(plain("ours"), 12, 0x81, 0, 0, labVLAN))
	w.send(t, insert(plain("ours, urgent"), 12, 0x81, 0, 0xe0, labVLAN))
	for i, g := range read(t, conn, 2) {
		if want := []string{"ours", "ours, urgent"}[i]; g.data != want || g.Remote != netip.AddrPortFrom(far, port) || g.Local != near {
			t.Errorf("received %q from %v to %v, want %q", g.data, g.Remote, g.Local, want)
		}
	}
}

// tagOf waits for a frame from near with the payload and returns its tag, which the
// kernel has taken out of it.
func (w *wire) tagOf(t *testing.T, payload string) (tag frame.Tag) {
	t.Helper()
	raw, err := w.file.SyscallConn()
	must(t, err)
	must(t, w.file.SetReadDeadline(time.Now().Add(20*time.Second)))
	b, control := make([]byte, 1<<16), make([]byte, 256)
	err = raw.Read(func(fd uintptr) bool {
		for {
			n, c, _, _, err := unix.Recvmsg(int(fd), b, control, 0)
			if err != nil {
				return false // once more when something comes
			}
			if n < etherLen || frame.MAC(b[6:]) != w.near || !strings.HasSuffix(string(b[:n]), payload) {
				continue
			}
			messages, err := unix.ParseSocketControlMessage(control[:c])
			if err != nil || len(messages) != 1 || len(messages[0].Data) < 20 {
				return true
			}
			// struct tpacket_auxdata (include/uapi/linux/if_packet.h)
			data := messages[0].Data
			tag = frame.Tag{TCI: binary.NativeEndian.Uint16(data[16:]), Type: binary.NativeEndian.Uint16(data[18:])}
			return true
		}
	})
	must(t, err)
	return tag
}

// openVLAN opens an underlay on an interface of ns that is taken for that of a VLAN.
func openVLAN(t *testing.T, ns *testutil.NS, name string, mode redirect.Mode) (u *xdp.Underlay) {
	t.Helper()
	o := &xdp.Options{Logger: testutil.Logger(t), Interface: name, Attach: mode, Segment: batching.Off}
	xdp.ForceVLAN(o, labVLAN)
	ns.Run(func() {
		var err error
		u, err = xdp.Open(o)
		must(t, err)
	})
	t.Cleanup(func() {
		u.Listen(0) // so that Close waits for no reader
		must(t, u.Close())
	})
	if st := u.Status(); !st.Active {
		t.Fatalf("underlay not active: %s, refused: %v", st.Reason, st.Refusals)
	}
	u.Listen(port)
	return u
}
