// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package redirect

import (
	"bytes"
	"math/bits"
	"net"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tunrouter/tunrouter/internal/sys"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

func TestVLAN(t *testing.T) {
	testutil.LeakCheck(t)
	for _, id := range []uint16{1, testVLAN, maxVLAN} {
		m := testModel()
		m.vlan = id
		p := loaded(t, m)
		v4, v6 := inVLAN(datagram(our4(), 32, typeVLAN), id), inVLAN(datagram(our6(), 32, typeQinQ), id)
		for _, tt := range []struct {
			name  string
			frame []byte
			want  Verdict
		}{
			{"v4", v4, Redirected},
			{"v6", v6, Redirected},
			{"priority 0", put(v4, 14, v4[14]&0x0f), Redirected},
			{"priority 7, drop eligible", put(v6, 14, v6[14]|0xf0), Redirected},
			{"v4 without a tag", datagram(our4(), 32), PassVLAN},
			{"v6 without a tag", datagram(our6(), 32), PassVLAN},
			{"priority only", datagram(our4(), 32, typeVLAN), PassVLAN},
			{"id above", inVLAN(v4, id+1), PassVLAN},
			{"id below", inVLAN(v4, id-1), PassVLAN},
			{"id in the other byte order", inVLAN(v4, bits.ReverseBytes16(id)&vlanID), PassVLAN},
			{"first bit of the id", inVLAN(v6, id^0x800), PassVLAN},
			{"arp", put(v4, 16, 0x08, 0x06), PassEtherType},
			{"arp without a tag", put(datagram(our4(), 32), 12, 0x08, 0x06), PassVLAN},
			{"group", put(v4, 0, 3), PassGroup},
			{"two tags, ours first", inVLAN(datagram(our4(), 32, typeQinQ, typeVLAN), id), PassTags},
			{"other port", put(v4, 40, 0, 53), PassPort},
			{"cut in the tag", v4[:17], PassShort},
			{"cut in the ip header", v4[:30], PassShort},
		} {
			if v := dryRun(t, p, tt.frame); v != tt.want {
				t.Errorf("VLAN %d, %s: %v, want %v", id, tt.name, v, tt.want)
			}
			if v := m.verdict(tt.frame); v != tt.want {
				t.Errorf("VLAN %d, %s: the model says %v, want %v", id, tt.name, v, tt.want)
			}
		}
	}
}

func TestMaxFrame(t *testing.T) {
	testutil.LeakCheck(t)
	for _, frame := range [][]byte{datagram(our4(), 100), datagram(our6(), 100), datagram(our4(), 1600, typeVLAN)} {
		for _, tt := range []struct {
			limit int
			want  Verdict
		}{
			{0, Redirected}, {1, PassLong}, {len(frame) - 1, PassLong}, {len(frame), Redirected}, {len(frame) + 1, Redirected}, {maxFrame, Redirected},
		} {
			m := testModel()
			m.maxFrame = tt.limit
			p := loaded(t, m)
			expect(t, p, frame, tt.want)
			// What is not ours is not counted as too long.
			expect(t, p, put(frame, 0, 3), PassGroup)
			must(t, p.SetPort(testPort+1))
			expect(t, p, frame, PassPort)
			must(t, p.SetPort(testPort))
			must(t, p.Unregister(0))
			if tt.want == Redirected {
				tt.want = PassNoSocket
			}
			expect(t, p, frame, tt.want)
			must(t, p.SetAddresses(nil))
			expect(t, p, frame, PassAddress)
			must(t, p.Close())
		}
	}
}

// TestSuperpacket has the far end send datagrams that generic mode sees before the
// kernel has cut them: they are longer than a frame of the AF_XDP socket, which would
// drop them, and reach the kernel's socket.
func TestSuperpacket(t *testing.T) {
	const size, segments = 1000, 8
	testutil.LeakCheck(t)
	l := newLab(t, 1)
	p := load(t, &Options{Port: testPort, Addresses: []netip.Addr{our4(), our6()}, MaxFrame: frameSize - 256})
	_, _, err := l.attach(p, ModeGeneric)
	must(t, err)
	r := l.receiver(t, 0)
	must(t, p.Register(0, r.fd))
	kernel := l.listen(t, testPort)
	for _, to := range []netip.Addr{our4(), our6()} {
		var sent []byte
		for i := range segments {
			sent = append(sent, slices.Repeat([]byte{'a' + byte(i)}, size)...)
		}
		l.far.Run(func() {
			c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, testPort)))
			must(t, err)
			defer c.Close()
			raw, err := c.SyscallConn()
			must(t, err)
			must(t, raw.Control(func(fd uintptr) { must(t, unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, size)) }))
			_, err = c.Write(sent)
			must(t, err)
		})
		var got []byte
		for range segments {
			got = append(got, receive(t, kernel)...)
		}
		if !bytes.Equal(got, sent) {
			t.Errorf("to %v: %d bytes came, %d were sent, or they differ", to, len(got), len(sent))
		}
	}
	c, err := p.Counts()
	must(t, err)
	if c[PassLong] != 2 || c[Redirected] != 0 {
		t.Errorf("counters: %v", c)
	}
	st, err := sys.XDPStatistics(r.fd)
	must(t, err)
	if st.Rx_dropped != 0 {
		t.Errorf("the AF_XDP socket dropped %d", st.Rx_dropped)
	}
}
