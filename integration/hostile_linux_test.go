// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"golang.org/x/crypto/blake2s"
)

// A forger makes datagrams that no peer has sent. Its output depends on the
// seed alone.
type forger struct {
	r      *rand.ChaCha8
	random []byte
	to     lab.Key // public key of the victim
}

// maxDatagram is the largest payload of a UDP datagram over IPv4.
const maxDatagram = 65507

func newForger(seed byte, to lab.Key) *forger {
	f := &forger{r: rand.NewChaCha8([32]byte{seed}), random: make([]byte, 2*maxDatagram), to: to}
	f.r.Read(f.random)
	return f
}

// bytes returns n random bytes.
func (f *forger) bytes(n int) []byte {
	at := int(f.r.Uint64() % maxDatagram)
	return append([]byte(nil), f.random[at:at+n]...)
}

// typed returns n random bytes that begin like a message of the type.
func (f *forger) typed(typ byte, n int) []byte {
	b := f.bytes(n)
	if n >= 4 {
		binary.LittleEndian.PutUint32(b, uint32(typ))
	}
	return b
}

// signed returns a handshake message of the type whose mac1 is right: whoever
// knows the victim's public key can make it.
func (f *forger) signed(typ byte) []byte {
	b := f.typed(typ, map[byte]int{1: 148, 2: 92}[typ])
	key := blake2s.Sum256(append([]byte("mac1----"), f.to[:]...))
	mac, err := blake2s.New128(key[:])
	if err != nil {
		panic(err) // only for a wrong key length
	}
	mac.Write(b[:len(b)-32])
	copy(b[len(b)-32:], mac.Sum(nil))
	clear(b[len(b)-16:]) // mac2: no cookie
	return b
}

// perRound is how many of each type of message a batch has.
const perRound = 50

// batch returns datagrams of many kinds: every length up to 2,000 and some of
// each size above, every type with right and wrong lengths, replays of what was
// overheard with a bit flipped.
func (f *forger) batch(overheard [][]byte) [][]byte {
	var out [][]byte
	for n := range 2000 {
		out = append(out, f.bytes(n))
		out = append(out, f.typed(byte(n%6), n))
	}
	for n := 2000; n <= maxDatagram; n += 997 {
		out = append(out, f.bytes(n), f.typed(4, n))
	}
	out = append(out, f.bytes(maxDatagram))
	for range perRound {
		out = append(out, f.typed(1, 148), f.typed(2, 92), f.typed(3, 64), f.typed(4, 32), f.signed(1), f.signed(2))
	}
	for _, b := range overheard {
		b = append([]byte(nil), b...)
		b[int(f.r.Uint64()%uint64(len(b)))] ^= 1 << (f.r.Uint64() % 8)
		out = append(out, b)
	}
	return out
}

// TestHostile sends forged and random datagrams to the port while traffic
// flows. Nothing is answered, but for cookies to who knows the public key,
// nothing of the traffic is lost, and the memory of the program does not grow.
//
//	a (the router) eth0 ── veth ── eth0 b (a peer, and the attacker at .66)
func TestHostile(t *testing.T) {
	self := subject(t)
	n := lab.TwoHosts(1500).Build(t)
	a, b := n.Host("a"), n.Host("b")
	attacker := map[int]netip.Addr{4: netip.MustParseAddr("192.0.2.66"), 6: netip.MustParseAddr("2001:db8:a::66")}
	b.AddAddress("eth0", attacker[4].String()+"/24")
	b.AddAddress("eth0", attacker[6].String()+"/64")
	b.NFT(fmt.Sprintf(`table inet lab { counter answers {}
		counter cookies {}
		chain answer { @th,64,32 0x03000000 counter name cookies return
			counter name answers
		}
		chain in { type filter hook input priority 0;
			ip daddr %s meta l4proto udp jump answer
			ip6 daddr %s meta l4proto udp jump answer
		}
		}`, attacker[4], attacker[6]))
	sniffer := must(traffic.Sniff(a, "eth0"))(t)
	tun := lab.StartTunnel(lab.TunnelOptions{A: self, B: self, HostA: a, HostB: b, OuterA: lab.A4, OuterB: lab.B4})
	traffic.WaitPing(t, b, lab.TunnelA4)
	var overheard [][]byte
	for _, d := range must(sniffer.Stop())(t) {
		if len(d.Payload) > 0 && d.Dst == outerPort(lab.A4) {
			overheard = append(overheard, d.Payload)
		}
	}
	if len(overheard) == 0 {
		t.Fatal("nothing overheard")
	}
	peer := tun.B.PublicKey()
	before := tun.A.Peer(peer)

	flow := must(traffic.StartFlow(b, a, lab.TunnelA4, 200, 500))(t)
	back := must(traffic.StartFlow(a, b, lab.TunnelB6, 200, 500))(t)
	forge := newForger(1, tun.A.PublicKey())
	var resident []int64
	const rounds = 4
	for range rounds {
		for family, dst := range map[int]netip.Addr{4: lab.A4, 6: lab.A6} {
			batch := forge.batch(overheard)
			read := a.Counter("Udp", "InDatagrams") + a.Counter6("Udp6InDatagrams")
			if err := traffic.Send(b, netip.AddrPortFrom(attacker[family], 0), outerPort(dst), batch...); err != nil {
				t.Fatal(err)
			}
			// The traffic counts too, so this is a lower bound that the loss
			// below makes exact enough.
			lab.Wait(t, lab.Patience, "the program reads the datagrams", func() error {
				if got := a.Counter("Udp", "InDatagrams") + a.Counter6("Udp6InDatagrams") - read; got < int64(len(batch)) {
					return fmt.Errorf("%d of %d", got, len(batch))
				}
				return nil
			})
		}
		resident = append(resident, residentBytes(t, tun.A.Process.Pid()))
	}
	for name, f := range map[string]*traffic.Flow{"in": flow, "out": back} {
		if r := must(f.Stop())(t); r.Lost+r.Duplicated+r.Corrupt+r.Reordered != 0 {
			t.Errorf("traffic %s: %s", name, r)
		}
	}
	if n := b.NFTCounter("answers"); n != 0 {
		t.Errorf("%d answers to the attacker", n)
	}
	// A cookie is shorter than what it answers, a handshake whose first
	// signature is right, and is sent only when there are many.
	if n, most := b.NFTCounter("cookies"), int64(rounds*2*2*perRound); n > most {
		t.Errorf("%d cookies for %d handshakes", n, most)
	}
	if after := tun.A.Peer(peer); after.Endpoint != before.Endpoint || !after.Handshake.Equal(before.Handshake) {
		t.Errorf("the peer moved or was renewed: %v, before %v", after, before)
	}
	if growth := resident[len(resident)-1] - resident[0]; growth > 16<<20 {
		t.Errorf("memory after each round: %d, grown by %d bytes", resident, growth)
	}
	wantPings(t, a, b)
}

// residentBytes returns the resident memory of a process.
func residentBytes(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kib int64
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// TestHostileCounted sends one datagram of every length there is, and forged
// handshakes, to a router inside this process, on loopback. Its counters account
// for each of them.
func TestHostileCounted(t *testing.T) {
	t.Parallel()
	private, err := config.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	loopback := netip.MustParseAddr("127.0.0.1")
	e, err := engine.New(&config.Config{
		Name:      "hostile",
		Interface: config.Interface{PrivateKey: private, Addresses: []netip.Prefix{netip.MustParsePrefix("10.77.0.1/24")}},
		Router:    config.Router{Mode: config.ModeNetstack},
	}, &engine.Options{NoControl: true, ListenOn: []netip.Addr{loopback}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, e.ListenPort())))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	// A datagram is handed to the device, dropped for what it looks like, or
	// dropped by the socket.
	accounted := func() (total uint64) {
		s := e.Stats().Network
		total = s.RxPackets
		reasons := []map[string]uint64{s.RxDropped}
		for _, socket := range s.Sockets {
			reasons = append(reasons, socket.Rx.Dropped)
		}
		for _, dropped := range reasons {
			for _, n := range dropped {
				total += n
			}
		}
		return total
	}
	forge := newForger(2, lab.Key(private.Public()))
	var sent uint64
	send := func(b []byte) {
		t.Helper()
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		sent++
		// The socket's buffer holds a hundred of the largest: do not overrun it.
		if sent%64 == 0 {
			testutil.Eventually(t, lab.Patience, "counters follow", func() error {
				if got := accounted(); got != sent {
					return fmt.Errorf("%d of %d datagrams accounted for", got, sent)
				}
				return nil
			})
		}
	}
	for n := range maxDatagram + 1 {
		if n%2 == 0 {
			send(forge.bytes(n))
		} else {
			send(forge.typed(byte(n/2%6), n))
		}
	}
	for range 64 {
		send(forge.signed(1))
		send(forge.signed(2))
	}
	testutil.Eventually(t, lab.Patience, "every datagram is accounted for", func() error {
		if got := accounted(); got != sent {
			return fmt.Errorf("%d of %d: %v", got, sent, e.Stats().Network.RxDropped)
		}
		return nil
	})
	dropped := e.Stats().Network.RxDropped
	for _, reason := range []string{"too_short", "unknown_type", "bad_length"} {
		if dropped[reason] == 0 {
			t.Errorf("none dropped as %s: %v", reason, dropped)
		}
	}
}
