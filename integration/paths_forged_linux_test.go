// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
)

// hostileLab is two routers that reach each other directly and have a session on the
// relay too, what was overheard of them, and somebody else.
type hostileLab struct {
	*pathsLab
	mallory *lab.Site
	// overheard are the frames of the protocol that passed a's link, by who sent them to
	// whom.
	overheard map[[2]*lab.Site][]traffic.Frame
	vni       uint32 // of the session
}

func newHostileLab(t *testing.T) *hostileLab {
	t.Helper()
	l := &hostileLab{
		pathsLab:  newPathsLab(t, pathsOptions{more: []lab.SiteSpec{{Name: "mallory"}}}),
		overheard: make(map[[2]*lab.Site][]traffic.Frame),
	}
	l.mallory = l.Site("mallory")
	tap := l.tap(t, l.a)
	l.start(t)
	traffic.WaitPing(t, l.a.Host, lab.TunnelB4)
	for _, h := range []*lab.Host{l.a.Host, l.b.Host} {
		l.waitChosen(t, h, false)
	}
	// The session is used while the direct path is cut.
	l.Cut(l.a, l.b)
	for _, h := range []*lab.Host{l.a.Host, l.b.Host} {
		traffic.WaitPing(t, l.a.Host, lab.TunnelB4)
		l.waitChosen(t, h, true)
	}
	l.Repair(l.a, l.b)
	for _, h := range []*lab.Host{l.a.Host, l.b.Host} {
		traffic.WaitPing(t, l.a.Host, lab.TunnelB4)
		l.waitChosen(t, h, false)
	}
	for _, f := range must(tap.Stop())(t) {
		if f.VNI != 0 {
			l.vni = f.VNI
		}
		if f.Kind != traffic.FrameDisco && f.Kind != traffic.FrameRelayedDisco && f.Kind != traffic.FrameRelayed {
			continue
		}
		for _, from := range []*lab.Site{l.a, l.b, l.relay} {
			for _, to := range []*lab.Site{l.a, l.b, l.relay} {
				if isDirect(f, from, to) {
					pair := [2]*lab.Site{from, to}
					l.overheard[pair] = append(l.overheard[pair], f)
				}
			}
		}
	}
	for _, pair := range [][2]*lab.Site{{l.a, l.b}, {l.b, l.a}, {l.a, l.relay}, {l.relay, l.a}} {
		if len(l.overheard[pair]) == 0 {
			t.Fatalf("nothing overheard from %s to %s", pair[0].Name, pair[1].Name)
		}
	}
	if l.vni == 0 {
		t.Fatal("no VNI overheard")
	}
	return l
}

// at returns where a site is attacked.
func (l *hostileLab) at(s *lab.Site) netip.AddrPort {
	if s == l.relay {
		return l.relayAt()
	}
	return outerPort(s.Outer())
}

// forged returns datagrams that nobody has sent and nobody may answer.
func (l *hostileLab) forged(f *forger, to *lab.Site) (all [][]byte) {
	magic := []byte{0xf3, 0x74, 0x72, 0x64}
	for n := range 400 {
		all = append(all, append(bytes.Clone(magic), f.bytes(n)...))
	}
	for pair, frames := range l.overheard {
		for _, frame := range frames[:min(3, len(frames))] {
			b := frame.Payload
			// Cut short at every length, longer, and with a bit wrong in every byte.
			for n := range len(b) {
				all = append(all, b[:n])
				wrong := bytes.Clone(b)
				wrong[n] ^= 1 << (f.r.Uint64() % 8)
				all = append(all, wrong)
			}
			all = append(all, append(bytes.Clone(b), 0))
			if pair[1] != to {
				all = append(all, b) // back to who sent it, or to a third
			}
			all = append(all, l.wrapped(f, frame)...)
		}
	}
	return all
}

// wrapped returns an overheard frame behind every kind of header that is wrong.
func (l *hostileLab) wrapped(f *forger, frame traffic.Frame) (all [][]byte) {
	b := frame.Payload
	if frame.Kind != traffic.FrameDisco {
		b = b[8:]
	}
	header := func(version, options, flags byte, protocol uint16, vni uint32, reserved byte) {
		h := []byte{version<<6 | options, flags, byte(protocol >> 8), byte(protocol)}
		h = binary.BigEndian.AppendUint32(h, vni<<8|uint32(reserved))
		all = append(all, append(append(h, make([]byte, 4*int(options))...), b...))
	}
	for _, protocol := range []uint16{0x7a11, 0x7a12} {
		for _, control := range []byte{0, 0x80} {
			header(1, 0, control, protocol, l.vni, 0)
			header(2, 0, control, protocol, l.vni, 0)
			header(3, 0, control, protocol, l.vni, 0)
			header(0, 1, control, protocol, l.vni, 0)
			header(0, 63, control, protocol, l.vni, 0)
			header(0, 0, control|0x40, protocol, l.vni, 0) // critical
			header(0, 0, control|0x01, protocol, l.vni, 0) // reserved
			header(0, 0, control, protocol, l.vni, 1)      // reserved
			header(0, 0, control, protocol, l.vni^1, 0)
			header(0, 0, control, protocol, uint32(f.r.Uint64())>>8, 0)
			header(0, 0, control, protocol, 0, 0)
		}
		// The right VNI, from who is no leg of the session.
		header(0, 0, 0, protocol, l.vni, 0)
	}
	header(0, 0, 0, 0x6558, l.vni, 0) // Ethernet
	header(0, 0, 0, 0x0800, l.vni, 0)
	return all
}

// attack sends datagrams from mallory to a site and waits until they are read.
func (l *hostileLab) attack(t *testing.T, to *lab.Site, datagrams [][]byte) {
	t.Helper()
	const perRead = 200 // fit into a socket
	for len(datagrams) > 0 {
		batch := datagrams[:min(perRead, len(datagrams))]
		datagrams = datagrams[len(batch):]
		read := to.Host.Counter("Udp", "InDatagrams")
		if err := traffic.Send(l.mallory.Host, netip.AddrPortFrom(l.mallory.Outer(), 4000), l.at(to), batch...); err != nil {
			t.Fatal(err)
		}
		lab.Wait(t, lab.Patience, to.Name+" reads the datagrams", func() error {
			if n := to.Host.Counter("Udp", "InDatagrams") - read; n < int64(len(batch)) {
				return fmt.Errorf("%d of %d", n, len(batch))
			}
			return nil
		})
	}
}

// answers returns what was sent to mallory so far.
func (l *hostileLab) answers(tap *traffic.Tap) []traffic.Frame {
	return tap.Frames(func(f traffic.Frame) bool { return f.Dst.Addr() == l.mallory.Outer() })
}
