// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package redirect

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/tunrouter/tunrouter/internal/testutil"
)

// load loads a program for the test's lifetime. What the verifier or the kernel
// says against it fails the test; only a process without the privilege, found out
// before, is let off.
func load(t testing.TB, o *Options) *Program {
	t.Helper()
	testutil.NeedNetNS(t)
	p, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// xskSocket returns an AF_XDP socket that is bound to nothing: the kernel takes it
// into the map, which is all that a dry run needs.
func xskSocket(t testing.TB) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// loaded returns the program that the model describes: the dry runs come on queue
// 0 of the loopback device.
func loaded(t testing.TB, m *model) *Program {
	p := load(t, m.options())
	if err := p.Register(0, xskSocket(t)); err != nil {
		t.Fatal(err)
	}
	return p
}

// dryRun gives the frame to the program (BPF_PROG_TEST_RUN) and returns the verdict
// that was counted. The frame must be untouched, and what the program returned must
// fit.
func dryRun(t testing.TB, p *Program, frame []byte) Verdict {
	t.Helper()
	before, err := p.Counts()
	if err != nil {
		t.Fatal(err)
	}
	opts := ebpf.RunOptions{Data: frame, DataOut: make([]byte, len(frame)+64), Repeat: 1}
	action, err := p.prog.Run(&opts)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(opts.DataOut, frame) {
		t.Fatalf("frame changed from\n%x to\n%x", frame, opts.DataOut)
	}
	after, err := p.Counts()
	if err != nil {
		t.Fatal(err)
	}
	found := verdicts
	for v := range verdicts {
		switch after[v] - before[v] {
		case 0:
		case 1:
			if found != verdicts {
				t.Fatalf("counted twice: %v and %v", found, v)
			}
			found = v
		default:
			t.Fatalf("%v went from %d to %d with one frame", v, before[v], after[v])
		}
	}
	want := uint32(xdpPass)
	if found == Redirected {
		want = xdpRedirect
	}
	if found == verdicts || action != want {
		t.Fatalf("action %d, counted as %v", action, found)
	}
	return found
}

// put returns a copy of the frame with bytes replaced, the IPv4 checksum right.
func put(frame []byte, at int, with ...byte) []byte {
	frame = slices.Clone(frame)
	copy(frame[at:], with)
	return resealed(frame)
}

func TestVerdicts(t *testing.T) {
	testutil.LeakCheck(t)
	p := loaded(t, testModel())
	for name, frame := range testModel().ours() {
		if v := dryRun(t, p, frame); v != Redirected {
			t.Errorf("%s: %v, want redirected", name, v)
		}
	}
	const ip, udp4, udp6 = 14, 34, 54
	v4, v6, tagged := datagram(our4(), 32), datagram(our6(), 32), datagram(our4(), 32, typeVLAN)
	badSum := slices.Clone(v4)
	badSum[ip+10] ^= 1
	for _, tt := range []struct {
		name  string
		frame []byte
		want  Verdict
	}{
		{"ethernet multicast", put(v4, 0, 3), PassGroup},
		{"ethernet broadcast", put(v4, 0, 255, 255, 255, 255, 255, 255), PassGroup},
		{"other unicast address", put(v4, 0, 4), Redirected},
		{"arp", put(v4, 12, 0x08, 0x06), PassEtherType},
		{"v4 said to be v6", put(v4, 12, 0x86, 0xdd), PassHeader},
		{"v6 said to be v4", put(v6, 12, 0x08, 0x00), PassHeader},
		{"two tags", datagram(our4(), 32, typeQinQ, typeVLAN), PassTags},
		{"two equal tags", datagram(our6(), 32, typeVLAN, typeVLAN), PassTags},
		{"two 802.1ad tags", datagram(our4(), 32, typeQinQ, typeQinQ), PassTags},
		{"tags in the wrong order", datagram(our6(), 32, typeVLAN, typeQinQ), PassTags},
		{"unknown tag", datagram(our4(), 32, 0x9100), PassEtherType},
		{"tagged arp", put(tagged, 16, 0x08, 0x06), PassEtherType},
		{"priority 7, drop eligible", put(tagged, 14, 0xf0, 0), Redirected},
		{"vlan 1", inVLAN(tagged, 1), PassVLAN},
		{"vlan 256", inVLAN(tagged, 256), PassVLAN},
		{"vlan 4095", inVLAN(tagged, 4095), PassVLAN},
		{"arp in a vlan", put(inVLAN(tagged, 1), 16, 0x08, 0x06), PassVLAN},
		{"vlan in no vlan", inVLAN(datagram(our4(), 32, typeVLAN, typeVLAN), 1), PassTags},

		{"v4 version 5", put(v4, ip, 0x55), PassHeader},
		{"v4 options", put(v4, ip, 0x46), PassHeader},
		{"v4 short header", put(v4, ip, 0x44), PassHeader},
		{"v4 tos", put(v4, ip+1, 0xb9), Redirected},
		{"v4 length beyond the frame", put(v4, ip+2, 0, 65), PassLength},
		{"v4 length is the frame's", put(v4, ip+2, 0, 64), Redirected},
		{"v4 length beyond 32768", put(v4, ip+2, 0xff, 0xff), PassLength},
		{"v4 length less than udp's", put(v4, ip+2, 0, 59), PassLength},
		{"v4 length without udp", put(v4, ip+2, 0, 27), PassLength},
		{"v4 length 0", put(v4, ip+2, 0, 0), PassLength},
		{"v4 id", put(v4, ip+4, 0xff, 0xff), Redirected},
		{"v4 more fragments", put(v4, ip+6, 0x20, 0), PassFragment},
		{"v4 last fragment", put(v4, ip+6, 0, 1), PassFragment},
		{"v4 far fragment", put(v4, ip+6, 0x10, 0), PassFragment},
		{"v4 don't fragment", put(v4, ip+6, 0x40, 0), Redirected},
		{"v4 reserved flag", put(v4, ip+6, 0x80, 0), Redirected},
		{"v4 ttl", put(v4, ip+8, 1), Redirected},
		{"v4 icmp", put(v4, ip+9, 1), PassProtocol},
		{"v4 tcp", put(v4, ip+9, 6), PassProtocol},
		{"v4 udp-lite", put(v4, ip+9, 136), PassProtocol},
		{"v4 checksum", badSum, PassChecksum},
		{"v4 source", put(v4, ip+12, 1, 2, 3, 4), Redirected},
		{"v4 to another", put(v4, ip+16, their4().AsSlice()...), PassAddress},
		{"v4 multicast", put(v4, ip+16, 224, 0, 0, 1), PassAddress},
		{"v4 broadcast", put(v4, ip+16, 255, 255, 255, 255), PassAddress},
		{"v4 subnet broadcast", put(v4, ip+16, 10, 9, 0, 255), PassAddress},
		{"v4 source port", put(v4, udp4, 0, 0), Redirected},
		{"v4 port above", put(v4, udp4+2, 0xca, 0x6d), PassPort},
		{"v4 port below", put(v4, udp4+2, 0xca, 0x6b), PassPort},
		{"v4 port swapped", put(v4, udp4+2, 0x6c, 0xca), PassPort},
		{"v4 port 0", put(v4, udp4+2, 0, 0), PassPort},
		{"v4 udp length beyond ip's", put(v4, udp4+4, 0, 41), PassLength},
		{"v4 udp length less than ip's", put(v4, udp4+4, 0, 39), Redirected},
		{"v4 udp length 7", put(v4, udp4+4, 0, 7), PassLength},
		{"v4 no udp checksum", put(v4, udp4+6, 0, 0), Redirected},

		{"v6 version 4", put(v6, ip, 0x40), PassHeader},
		{"v6 traffic class and flow", put(v6, ip, 0x6f, 0xff, 0xff, 0xff), Redirected},
		{"v6 length beyond the frame", put(v6, ip+4, 0, 45), PassLength},
		{"v6 length is the frame's", put(v6, ip+4, 0, 44), Redirected},
		{"v6 length less than udp's", put(v6, ip+4, 0, 39), PassLength},
		{"v6 jumbogram", put(v6, ip+4, 0, 0), PassLength},
		{"v6 hop-by-hop", put(v6, ip+6, 0), PassProtocol},
		{"v6 fragment", put(v6, ip+6, 44), PassProtocol},
		{"v6 icmp", put(v6, ip+6, 58), PassProtocol},
		{"v6 hop limit", put(v6, ip+7, 1), Redirected},
		{"v6 source", put(v6, ip+8, 0x20), Redirected},
		{"v6 to another", put(v6, ip+39, 2), PassAddress},
		{"v6 first byte", put(v6, ip+24, 0xfc), PassAddress},
		{"v6 multicast", put(v6, ip+24, 0xff, 2), PassAddress},
		{"v6 port", put(v6, udp6+2, 0xca, 0x6d), PassPort},
		{"v6 udp length beyond ip's", put(v6, udp6+4, 0, 41), PassLength},
		{"v6 udp length 7", put(v6, udp6+4, 0, 7), PassLength},
		{"v6 no udp checksum", put(v6, udp6+6, 0, 0), PassChecksum},
		{"v6 address is our v4", datagram(netip.MustParseAddr("a09:1::"), 32), PassAddress},
	} {
		if v := dryRun(t, p, tt.frame); v != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, v, tt.want)
		}
		if v := testModel().verdict(tt.frame); v != tt.want {
			t.Errorf("%s: the model says %v, want %v", tt.name, v, tt.want)
		}
	}
}

// TestTruncated cuts frames at each byte. A dry run takes no less than an Ethernet
// header.
func TestTruncated(t *testing.T) {
	for _, m := range []*model{testModel(), vlanModel()} {
		p := loaded(t, m)
		for name, frame := range m.ours() {
			redirected := 0
			for n := 14; n <= min(len(frame), 120); n++ {
				v, want := dryRun(t, p, frame[:n]), m.verdict(frame[:n])
				if v != want {
					t.Errorf("%s, %d bytes: %v, want %v", name, n, v, want)
				}
				if v == Redirected {
					redirected++
				}
			}
			// Only what is cut off the padding is complete.
			if want := 5; redirected != want && len(frame) <= 120 {
				t.Errorf("%s: redirected at %d lengths, want %d", name, redirected, want)
			}
		}
	}
}

// TestFlippedBits changes each bit of the headers, with the IPv4 header checksum
// wrong and right.
func TestFlippedBits(t *testing.T) {
	for _, m := range []*model{testModel(), vlanModel(), shortModel()} {
		p := loaded(t, m)
		for name, frame := range m.ours() {
			for bit := range 8 * min(len(frame), 66) {
				flipped := slices.Clone(frame)
				flipped[bit/8] ^= 1 << (bit % 8)
				for _, f := range [][]byte{flipped, resealed(flipped)} {
					if v, want := dryRun(t, p, f), m.verdict(f); v != want {
						t.Errorf("%s, bit %d of byte %d: %v, want %v", name, bit%8, bit/8, v, want)
					}
				}
			}
		}
	}
}

// FuzzVerdict compares programs with their models.
func FuzzVerdict(f *testing.F) {
	models := []*model{testModel(), vlanModel(), shortModel()}
	programs := make([]*Program, len(models))
	for i, m := range models {
		programs[i] = loaded(f, m)
		for _, frame := range m.ours() {
			f.Add(frame, true)
			f.Add(frame[:40], false)
		}
	}
	f.Fuzz(func(t *testing.T, frame []byte, reseal bool) {
		if len(frame) < 14 || len(frame) > 2000 {
			return // what a dry run does not take
		}
		if reseal {
			frame = resealed(frame)
		}
		for i, m := range models {
			if v, want := dryRun(t, programs[i], frame), m.verdict(frame); v != want {
				t.Errorf("program %d: %v, want %v: %x", i, v, want, frame)
			}
		}
	})
}

// TestVerifierErrorIsShown loads a program that reads without looking for the end
// of the frame.
func TestVerifierErrorIsShown(t *testing.T) {
	testutil.NeedNetNS(t)
	prog, err := newProgram(asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, mdData, asm.Word),
		asm.LoadMem(asm.R0, asm.R2, 0, asm.Byte),
		asm.Return(),
	})
	if err == nil {
		prog.Close()
		t.Fatal("the verifier took it")
	}
	if v := (*ebpf.VerifierError)(nil); !errors.As(err, &v) || !strings.Contains(err.Error(), "invalid access to packet") {
		t.Fatalf("the verifier's words are missing: %v", err)
	}
}
