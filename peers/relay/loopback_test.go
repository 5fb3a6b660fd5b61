// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/peers/disco"
)

// patience is how long something over the loopback interface may take before a
// test fails.
const patience = 10 * time.Second

// start runs a server with these clients until the test ends. It listens on all
// addresses.
func start(tb testing.TB, o Options, keys ...disco.Key) *Server {
	o.Identity, o.Allowed, o.Logger = identity(0), keys, testutil.Logger(tb)
	s, err := New(&o)
	if err != nil {
		tb.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(context.Background()) }()
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
		if err := <-done; err != nil {
			tb.Errorf("run: %v", err)
		}
	})
	return s
}

// A remote is a client behind a socket.
type remote struct {
	testing.TB
	id    *disco.Identity
	pair  *disco.Pair
	conn  *batching.Conn
	relay *batching.Destination

	slab []byte
	pkts []batching.Packet
	left []batching.Packet // received, not looked at yet
}

// dial returns the client with identity n, at a loopback address, that talks to
// the relay at another one.
func dial(tb testing.TB, n int, from, to string, s *Server) *remote {
	r := &remote{TB: tb, id: identity(n), slab: make([]byte, slabSize), pkts: make([]batching.Packet, batching.MaxBatch)}
	var err error
	if r.pair, err = r.id.Pair(disco.DomainRelay, identity(0).Public()); err != nil {
		tb.Fatal(err)
	}
	local, addr := netip.MustParseAddr(from), netip.MustParseAddr(to)
	network := "udp6"
	if local.Is4() {
		network = "udp4"
	}
	if r.conn, err = batching.Listen(network, netip.AddrPortFrom(local, 0), nil); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { r.conn.Close() })
	r.relay = batching.NewDestination(netip.AddrPortFrom(addr, s.Addrs()[0].Port()), netip.Addr{}, 0)
	return r
}

// send sends packets, behind a Geneve header if vni is set: of data, or for control.
func (r *remote) send(vni geneve.VNI, control bool, packets ...[]byte) {
	r.Helper()
	bufs := packets
	if vni.IsSet() {
		bufs = nil
		for _, p := range packets {
			protocol := geneve.ProtocolWireGuard
			if control {
				protocol = geneve.ProtocolDisco
			}
			bufs = append(bufs, withHeader(r, vni, protocol, control, p))
		}
	}
	if n, err := r.conn.WriteBatch(bufs, 0, r.relay, 0); err != nil || n != len(bufs) {
		r.Fatalf("sent %d of %d: %v", n, len(bufs), err)
	}
}

// next returns the next datagram. Each has to come from where the client sends to.
func (r *remote) next() []byte {
	r.Helper()
	for len(r.left) == 0 {
		if err := r.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			r.Fatal(err)
		}
		n, err := r.conn.ReadBatch(r.slab, r.pkts)
		if err != nil {
			r.Fatalf("nothing comes: %v", err)
		}
		r.left = r.pkts[:n]
	}
	p := r.left[0]
	r.left = r.left[1:]
	if p.Remote != r.relay.Remote() {
		r.Fatalf("a datagram comes from %v, want %v", p.Remote, r.relay.Remote())
	}
	return r.slab[p.Offset : p.Offset+p.Size]
}

// ask sends m and returns the answer.
func (r *remote) ask(vni geneve.VNI, m disco.RelayMessage, want disco.MessageType) disco.RelayMessage {
	r.Helper()
	m.TxID = disco.TxID{byte(m.Type), 1}
	r.send(vni, true, r.pair.Seal(nil, disco.Epoch(time.Now()), m.AppendBody(nil)))
	for {
		got := r.hear(vni.IsSet())
		if got.TxID == (disco.TxID{}) { // told about a session
			continue
		}
		if got.Type != want || got.TxID != m.TxID {
			r.Fatalf("the answer to %v is %+v, want %v", m.Type, got, want)
		}
		return got
	}
}

// hear returns the next message of the relay.
func (r *remote) hear(header bool) (m disco.RelayMessage) {
	r.Helper()
	b := r.next()
	if header && !disco.IsFrame(b) {
		var h geneve.Header
		if err := h.Decode(b); err != nil || !h.Control || h.Protocol != geneve.ProtocolDisco {
			r.Fatalf("the header is %+v: %v", h, err)
		}
		b = b[geneve.HeaderLen:]
	}
	body, err := r.pair.Open(nil, b)
	if err != nil {
		r.Fatal(err)
	}
	if err := m.Decode(body); err != nil {
		r.Fatal(err)
	}
	return m
}

func (r *remote) register() [32]byte {
	r.Helper()
	c := r.ask(0, disco.RelayMessage{Type: disco.TypeRegister}, disco.TypeChallenge).Cookie
	m := r.ask(0, disco.RelayMessage{Type: disco.TypeRegister, Cookie: c}, disco.TypeRegistered)
	if want := r.conn.LocalAddr(); m.Addr != want {
		r.Errorf("registered at %v, want %v", m.Addr, want)
	}
	return m.Cookie
}

func (r *remote) bind(s disco.RelayMessage) geneve.VNI {
	r.Helper()
	vni := vniOf(letter{RelayMessage: s})
	c := r.ask(vni, disco.RelayMessage{Type: disco.TypeBind, VNI: s.VNI, Generation: s.Generation}, disco.TypeBindChallenge)
	m := bindAnswer(letter{RelayMessage: s}, c.Cookie)
	if b := r.ask(vni, m, disco.TypeBound); b.Addr != r.conn.LocalAddr() {
		r.Errorf("bound at %v, want %v", b.Addr, r.conn.LocalAddr())
	}
	return vni
}

// connect makes a session of two clients.
func connect(a, b *remote) geneve.VNI {
	a.Helper()
	b.register()
	s := a.ask(0, disco.RelayMessage{Type: disco.TypeAllocate, Cookie: a.register(), Key: b.id.Public()}, disco.TypeAllocated)
	if s.Status != disco.StatusDone {
		a.Fatalf("no session: %v", s.Status)
	}
	told := b.hear(false)
	if told.Type != disco.TypeAllocated || told.VNI != s.VNI || told.Key != a.id.Public() {
		b.Fatalf("told %+v, want %+v", told, s)
	}
	vni := a.bind(s)
	b.bind(told)
	return vni
}

func TestLoopback(t *testing.T) {
	for _, tt := range []struct{ name, fromA, toA, fromB, toB string }{
		{"IPv4", "127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.1"},
		{"IPv6", "::1", "::1", "::1", "::1"},
		{"IPv4 and IPv6", "127.0.0.1", "127.0.0.1", "::1", "::1"},
		{"IPv6 and IPv4", "::1", "::1", "127.0.0.1", "127.0.0.1"},
	} {
		t.Run(tt.name, func(t *testing.T) { testLoopback(t, tt.fromA, tt.toA, tt.fromB, tt.toB) })
	}
	if runtime.GOOS == "linux" { // where local addresses are known
		t.Run("other addresses of the host", func(t *testing.T) {
			testLoopback(t, "127.0.0.3", "127.0.0.2", "127.0.0.1", "127.0.0.5")
		})
	}
}

func testLoopback(t *testing.T, fromA, toA, fromB, toB string) {
	testutil.LeakCheck(t)
	s := start(t, Options{Sockets: 2}, identity(1).Public(), identity(2).Public())
	a, b := dial(t, 1, fromA, toA, s), dial(t, 2, fromB, toB, s)
	vni := connect(a, b)
	for i, sizes := range [][]int{{32}, {32, 1452, 0, 1452, 60}, {9000, 20000, 1}} {
		for _, d := range [][2]*remote{{a, b}, {b, a}} {
			var sent [][]byte
			for j, n := range sizes {
				sent = append(sent, bytes.Repeat([]byte{byte(16*i + j + 1)}, n))
			}
			d[0].send(vni, false, sent...)
			for _, p := range sent {
				want := withHeader(t, vni, geneve.ProtocolWireGuard, false, p)
				if got := d[1].next(); !bytes.Equal(got, want) {
					t.Fatalf("%d bytes came (%x…), want %d (%x…)", len(got), got[:8], len(want), want[:8])
				}
			}
		}
	}
	waitFrames(t, s, 18)
	st := s.Stats()
	if st.Bound != 1 || st.Registrations != 2 || total(st.Dropped) != 0 {
		t.Errorf("%+v", st.TableStats)
	}
	status := s.Sessions()
	if len(status) != 1 || status[0].Legs[0].Addr != a.conn.LocalAddr() || status[0].Legs[1].Frames != 9 {
		t.Errorf("%+v", status)
	}
}

// waitFrames waits until n frames are counted: they are when the call that sent them
// has returned, and a receiver may be faster.
func waitFrames(t *testing.T, s *Server, n uint64) {
	t.Helper()
	testutil.Eventually(t, patience, "the counters", func() error {
		if got := s.Stats().Frames; got != n {
			return fmt.Errorf("%d frames forwarded, want %d", got, n)
		}
		return nil
	})
}

// burst sends n frames of one size from a to b, in bursts, and checks that all
// arrive, in order and unchanged.
func burst(t *testing.T, a, b *remote, vni geneve.VNI, n int) {
	t.Helper()
	const perBurst, size = 32, 1400
	for first := 0; first < n; first += perBurst {
		var packets [][]byte
		for i := range perBurst {
			p := bytes.Repeat([]byte{byte(first + i)}, size)
			binary.BigEndian.PutUint32(p, uint32(first+i))
			packets = append(packets, p)
		}
		a.send(vni, false, packets...)
		for i, p := range packets {
			if got := b.next(); !bytes.Equal(got[geneve.HeaderLen:], p) {
				t.Fatalf("frame %d of %d bytes came, want frame %d of %d", binary.BigEndian.Uint32(got[8:]), len(got), first+i, size)
			}
		}
	}
}

// What arrives as merged messages leaves as segmented messages. The last case
// shows that the counters would say so if it did not.
func TestBurstLeavesSegmented(t *testing.T) {
	const frames = 512
	for _, tt := range []struct {
		name, a, b string
		socket     batching.Options
	}{
		{"IPv4", "127.0.0.1", "127.0.0.1", batching.Options{}},
		{"IPv6", "::1", "::1", batching.Options{}},
		{"mixed", "::1", "127.0.0.1", batching.Options{}},
		{"without GSO", "127.0.0.1", "127.0.0.1", batching.Options{DisableGSO: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, Options{Sockets: 1, Socket: tt.socket}, identity(1).Public(), identity(2).Public())
			for _, st := range s.Stats().Sockets {
				if !st.GSO && !tt.socket.DisableGSO {
					testutil.Missing(t, "UDP_SEGMENT")
				}
			}
			a, b := dial(t, 1, tt.a, tt.a, s), dial(t, 2, tt.b, tt.b, s)
			vni := connect(a, b)
			before := s.Stats()
			burst(t, a, b, vni, frames)
			waitFrames(t, s, frames)
			after := s.Stats()
			var packets, messages, calls uint64
			for i, st := range after.Sockets {
				packets += st.Tx.Packets - before.Sockets[i].Tx.Packets
				messages += st.Tx.Messages - before.Sockets[i].Tx.Messages
				calls += st.Tx.Calls - before.Sockets[i].Tx.Calls
			}
			t.Logf("%d packets in %d messages and %d calls", packets, messages, calls)
			// The last answer before may be counted late, and then here.
			if packets < frames || packets > frames+1 {
				t.Fatalf("%d packets left, want %d", packets, frames)
			}
			if segmented := messages*8 <= packets; segmented == tt.socket.DisableGSO {
				t.Errorf("%d packets left in %d messages", packets, messages)
			}
			if calls*8 > packets {
				t.Errorf("%d packets left with %d calls", packets, calls)
			}
		})
	}
}

func TestServerLeavesStrangersAlone(t *testing.T) {
	s := start(t, Options{}, identity(1).Public())
	x, a := dial(t, 2, "127.0.0.1", "127.0.0.1", s), dial(t, 1, "127.0.0.1", "127.0.0.1", s)
	register := (&disco.RelayMessage{Type: disco.TypeRegister, TxID: disco.TxID{1}}).AppendBody(nil)
	x.send(0, false, x.pair.Seal(nil, disco.Epoch(time.Now()), register), []byte{1, 0, 0, 0, 0, 0, 0, 0}, []byte("x"))
	vni, err := geneve.MakeVNI(5)
	if err != nil {
		t.Fatal(err)
	}
	x.send(vni, false, []byte("frame"))
	testutil.Eventually(t, patience, "the frames of a stranger", func() error {
		for name, n := range s.Stats().Dropped {
			want := uint64(0)
			switch name {
			case "unknown_tag", "wireguard", "too_short", "unknown_vni":
				want = 1
			}
			if n != want {
				return fmt.Errorf("dropped %s %d times, want %d", name, n, want)
			}
		}
		return nil
	})
	a.register()
	left := uint64(0)
	for _, st := range s.Stats().Sockets {
		left += st.Tx.Packets
	}
	if left > 2 { // the last one may not be counted yet
		t.Errorf("%d packets left, want the two answers to the client", left)
	}
	// Live: the stranger becomes a client, and the client a stranger.
	s.SetAllowed([]disco.Key{x.id.Public()})
	x.register()
	if st := s.Stats(); st.Registrations != 1 || st.Clients != 1 {
		t.Errorf("%+v", st.TableStats)
	}
}
