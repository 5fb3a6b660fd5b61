// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package path

import (
	"container/heap"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/peers/disco"
	"github.com/tunrouter/tunrouter/peers/relay"
)

// A world is a network of hosts, NATs and relays in virtual time. Everything in
// it happens in an order that its seed decides.
type world struct {
	t      testing.TB
	rng    *rand.Rand
	seed   uint64
	now    time.Time
	events events
	order  int
	hosts  []*host
	relays []*relayHost
	nats   []*nat
	links  map[[2]string]*link
	// tap sees every datagram that arrives somewhere.
	tap func(d *datagram)
	// log prints what happens.
	verbose bool
}

type event struct {
	at    time.Time
	order int
	do    func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at.Before(e[j].at) || e[i].at.Equal(e[j].at) && e[i].order < e[j].order
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	x := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return x
}

var epoch0 = time.Date(2026, 3, 1, 12, 34, 56, 0, time.UTC)

func newWorld(t testing.TB, seed uint64) *world {
	return &world{
		t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), now: epoch0,
		links: make(map[[2]string]*link),
	}
}

func (w *world) after(d time.Duration, do func()) {
	w.order++
	heap.Push(&w.events, event{w.now.Add(d), w.order, do})
}

// every does something until the end of the world.
func (w *world) every(d time.Duration, do func()) {
	w.after(d, func() { do(); w.every(d, do) })
}

func (w *world) run(d time.Duration) {
	end := w.now.Add(d)
	for len(w.events) > 0 && !w.events[0].at.After(end) {
		e := heap.Pop(&w.events).(event)
		w.now = e.at
		e.do()
	}
	w.now = end
}

// until runs the world until cond is true, and returns how long that took.
func (w *world) until(limit time.Duration, what string, cond func() bool) time.Duration {
	w.t.Helper()
	start := w.now
	for !cond() {
		if w.now.Sub(start) >= limit {
			w.t.Fatalf("seed %d: not within %v: %s\n%s", w.seed, limit, what, w.dump())
		}
		w.run(10 * time.Millisecond)
	}
	return w.now.Sub(start)
}

func (w *world) dump() string {
	s := ""
	for _, h := range w.hosts {
		for _, p := range h.agent.peers {
			st := h.agent.PeerStatus(w.now, p.key)
			s += fmt.Sprintf("%s: router %s choice %+v doubt %+v active %v\n", h.name, st.Router, st.Choice, p.doubt, st.Active)
			for _, c := range st.Paths {
				s += fmt.Sprintf("   %+v\n", c)
			}
		}
		s += fmt.Sprintf("   %+v\n", h.agent.NetCheck())
	}
	return s
}

// A link is what is between two places, in one direction.
type link struct {
	latency, jitter time.Duration
	loss            float64
	mtu             int // largest UDP payload; 0: any
	cut             bool
}

// link returns the one from a to b, which are names.
func (w *world) link(a, b string) *link {
	l := w.links[[2]string{a, b}]
	if l == nil {
		l = &link{latency: 10 * time.Millisecond}
		w.links[[2]string{a, b}] = l
	}
	return l
}

// both changes both directions between a and b.
func (w *world) both(a, b string, change func(l *link)) {
	change(w.link(a, b))
	change(w.link(b, a))
}

func cut(l *link)    { l.cut = true }
func repair(l *link) { l.cut = false }

// A datagram is under way.
type datagram struct {
	from     string // name of the sender
	src, dst netip.AddrPort
	vni      geneve.VNI
	control  bool
	frame    []byte // a disco frame, or nil
	packet   packet
	size     int // UDP payload
}

// A packet stands for a WireGuard message.
type packet struct {
	kind     byte // 'i'nitiation, 'r'esponse, 'd'ata
	from, to Key
	seq      uint64
	reply    bool // wants to be answered by one packet
}

// filter is what a NAT lets in.
type filter byte

const (
	anyRemote filter = iota
	sameAddress
	samePort
)

// A nat is between a site and everybody else; no hairpin.
type nat struct {
	w         *world
	ip        netip.Addr
	symmetric bool
	filter    filter
	expiry    time.Duration
	mappings  []*mapping
	port      uint16
}

type mapping struct {
	inner  netip.AddrPort
	dst    netip.AddrPort // of a symmetric one
	port   uint16
	used   time.Time
	opened map[netip.AddrPort]time.Time
}

func (w *world) nat(ip string, symmetric bool, f filter) *nat {
	n := &nat{w: w, ip: netip.MustParseAddr(ip), symmetric: symmetric, filter: f, expiry: 60 * time.Second, port: 40000}
	w.nats = append(w.nats, n)
	return n
}

// rebind forgets all mappings, as a NAT does that was restarted.
func (n *nat) rebind() { n.mappings = nil }

func (n *nat) out(src, dst netip.AddrPort) netip.AddrPort {
	n.expire()
	for _, m := range n.mappings {
		if m.inner == src && (!n.symmetric || m.dst == dst) {
			m.used = n.w.now
			m.opened[dst] = n.w.now
			return netip.AddrPortFrom(n.ip, m.port)
		}
	}
	n.port++
	m := &mapping{src, dst, n.port, n.w.now, map[netip.AddrPort]time.Time{dst: n.w.now}}
	n.mappings = append(n.mappings, m)
	return netip.AddrPortFrom(n.ip, m.port)
}

func (n *nat) in(src, dst netip.AddrPort) (netip.AddrPort, bool) {
	n.expire()
	for _, m := range n.mappings {
		if m.port != dst.Port() {
			continue
		}
		for r, at := range m.opened {
			if n.w.now.Sub(at) > n.expiry {
				continue
			}
			if n.filter == anyRemote && !n.symmetric || r == src || n.filter != samePort && r.Addr() == src.Addr() {
				return m.inner, true
			}
		}
	}
	return netip.AddrPort{}, false
}

func (n *nat) expire() {
	n.mappings = slices.DeleteFunc(n.mappings, func(m *mapping) bool { return n.w.now.Sub(m.used) > n.expiry })
}

// send takes a datagram from a place at src, behind nat if that is not nil.
func (w *world) send(from string, behind *nat, d *datagram) {
	d.from = from
	// On the same site.
	for _, h := range w.hosts {
		if h.addr == d.dst && (h.nat == behind || h.nat == nil) {
			if h.nat == nil && behind != nil {
				d.src = behind.out(d.src, d.dst)
			}
			w.deliver(from, h.name, d, h.receive)
			return
		}
	}
	if behind != nil {
		d.src = behind.out(d.src, d.dst)
	}
	for _, r := range w.relays {
		if r.addr == d.dst {
			w.deliver(from, r.name, d, r.receive)
			return
		}
	}
	for _, n := range w.nats {
		if n.ip != d.dst.Addr() || n == behind {
			continue
		}
		inner, ok := n.in(d.src, d.dst)
		if !ok {
			return
		}
		for _, h := range w.hosts {
			if h.addr == inner && h.nat == n {
				w.deliver(from, h.name, d, h.receive)
			}
		}
		return
	}
}

func (w *world) deliver(from, to string, d *datagram, receive func(*datagram)) {
	l := w.link(from, to)
	if l.cut || l.mtu > 0 && d.size > l.mtu || w.rng.Float64() < l.loss {
		return
	}
	delay := l.latency
	if l.jitter > 0 {
		delay += time.Duration(w.rng.Int64N(int64(l.jitter)))
	}
	w.after(delay, func() {
		if w.tap != nil {
			w.tap(d)
		}
		receive(d)
	})
}

// A relayHost is a relay.
type relayHost struct {
	w     *world
	name  string
	addr  netip.AddrPort
	id    *disco.Identity
	table *relay.Table
}

func (w *world) relay(name, addr string) *relayHost {
	r := &relayHost{w: w, name: name, addr: netip.MustParseAddrPort(addr), id: identity(byte(200 + len(w.relays)))}
	w.relays = append(w.relays, r)
	r.restart()
	w.every(time.Second, func() { r.table.Tick(w.now) })
	return r
}

// restart forgets everything.
func (r *relayHost) restart() {
	var allowed []disco.Key
	for i := range 16 {
		allowed = append(allowed, identity(byte(i+1)).Public())
	}
	r.table = relay.NewTable(&relay.TableOptions{
		Identity: r.id, Allowed: allowed, Own: []netip.AddrPort{r.addr}, Rand: chacha(r.w.rng.Uint64()),
		MaxSessions: 64,
	})
}

func (r *relayHost) receive(d *datagram) {
	if d.frame != nil && (d.control || !d.vni.IsSet()) {
		r.table.Control(r.w.now, d.src, d.vni, d.frame, func(to netip.AddrPort, vni geneve.VNI, frame []byte) {
			r.w.send(r.name, nil, &datagram{
				src: r.addr, dst: to, vni: vni, control: vni.IsSet(), frame: slices.Clone(frame), size: len(frame) + 8,
			})
		})
		return
	}
	if !d.vni.IsSet() {
		return
	}
	leg, drop := r.table.Route(r.w.now, d.vni, d.src)
	if drop != relay.DropNone {
		return
	}
	f := *d
	f.src, f.dst = r.addr, leg.Addr()
	r.w.send(r.name, nil, &f)
}

func (r *relayHost) config() Relay {
	return Relay{Key: r.id.Public(), Addrs: []netip.AddrPort{r.addr}, Name: r.name}
}

func chacha(seed uint64) *rand.ChaCha8 {
	var b [32]byte
	for i := range 8 {
		b[i] = byte(seed >> (8 * i))
	}
	return rand.NewChaCha8(b)
}

func identity(n byte) *disco.Identity {
	k := Key{31: n, 0: n * 7}
	return disco.NewIdentity(k)
}

// A host is a router: an agent, and as much of WireGuard as matters to it.
type host struct {
	w       *world
	name    string
	addr    netip.AddrPort
	nat     *nat
	id      *disco.Identity
	agent   *Agent
	offset  time.Duration // of its wall clock
	plain   bool          // no router: drops frames
	peers   map[Key]*remote
	ticks   int
	pending time.Time // of the next Tick
	frames  map[netip.AddrPort]int
	total   int // frames sent
}

// A remote is a peer as WireGuard knows it.
type remote struct {
	h           *host
	key         Key
	other       *host
	choice      Choice
	current     Path // by WireGuard's rules
	watch       bool
	sent        uint64
	established bool
	initiated   time.Time
	unanswered  bool
	queue       []packet
	next        uint64
	seen        map[uint64]bool
	twice       int
	lastHeard   map[Path]time.Time
	arrived     time.Time     // of the last new data packet
	longest     time.Duration // gap between two of them
	uses        []Choice
	resent      int
	size        int
}

func (w *world) host(name, addr string, n *nat) *host {
	h := &host{
		w: w, name: name, addr: netip.MustParseAddrPort(addr), nat: n, id: identity(byte(len(w.hosts) + 1)),
		peers: make(map[Key]*remote), frames: make(map[netip.AddrPort]int),
	}
	w.hosts = append(w.hosts, h)
	h.restart()
	return h
}

// restart gives the host a new agent and no WireGuard sessions.
func (h *host) restart() {
	log := slog.New(slog.DiscardHandler)
	if h.w.verbose {
		log = slog.New(slog.NewTextHandler(h.w.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})).With("host", h.name)
	}
	h.agent = New(Options{Identity: h.id, Rand: chacha(h.w.rng.Uint64()), Logger: log}, h)
	h.agent.wall = func() time.Time { return h.w.now.Add(h.offset) }
	h.agent.SetLocal(h.w.now, []netip.AddrPort{h.addr})
	h.schedule()
}

// knows makes two hosts peers. The endpoints are what each has configured for the
// other; "" is none.
func (w *world) knows(a, b *host, endpointOfB, endpointOfA string) {
	for _, x := range []struct {
		h, o     *host
		endpoint string
	}{{a, b, endpointOfB}, {b, a, endpointOfA}} {
		r := &remote{h: x.h, key: x.o.id.Public(), other: x.o, watch: true, seen: make(map[uint64]bool), lastHeard: make(map[Path]time.Time), size: 200}
		x.h.peers[r.key] = r
		x.h.agent.AddPeer(w.now, r.key)
		if x.endpoint != "" {
			r.current = Path{Addr: netip.MustParseAddrPort(x.endpoint)}
			x.h.agent.SetConfigured(w.now, r.key, r.current.Addr)
		}
		x.h.schedule()
	}
}

func (h *host) useRelays(relays ...*relayHost) {
	var c []Relay
	for _, r := range relays {
		c = append(c, r.config())
	}
	h.agent.SetRelays(h.w.now, c)
	h.schedule()
}

// schedule makes Tick be called when the agent wants it.
func (h *host) schedule() {
	if h.plain {
		return
	}
	at := h.w.now.Add(max(h.agent.Next(h.w.now), time.Millisecond))
	if h.pending.After(h.w.now) && !at.Before(h.pending) {
		return
	}
	h.pending = at
	h.w.after(at.Sub(h.w.now), func() {
		if h.pending != at {
			return
		}
		h.pending = time.Time{}
		h.ticks++
		h.agent.Tick(h.w.now)
		h.check()
		h.schedule()
	})
}

func (h *host) peer(o *host) *remote { return h.peers[o.id.Public()] }

func (h *host) status(o *host) PeerStatus { return h.agent.PeerStatus(h.w.now, o.id.Public()) }

// over is the path in use.
func (h *host) over(o *host) Path { return h.peer(o).choice.Primary }

func (h *host) direct(o *host) bool {
	p := h.over(o)
	return p.IsSet() && !p.VNI.IsSet()
}

func (h *host) relayed(o *host) bool { return h.over(o).VNI.IsSet() }

// SendFrame, Use, Traffic, Resend and Watch make host a Network.
func (h *host) SendFrame(p Path, control bool, frame []byte) {
	h.frames[p.Addr]++
	h.total++
	size := len(frame)
	if p.VNI.IsSet() {
		size += geneve.HeaderLen
	}
	h.w.send(h.name, h.nat, &datagram{src: h.addr, dst: p.Addr, vni: p.VNI, control: control, frame: slices.Clone(frame), size: size})
}

func (h *host) Use(peer Key, c Choice) {
	r := h.peers[peer]
	r.choice = c
	r.uses = append(r.uses, c)
}

func (h *host) Traffic(peer Key) Traffic {
	r := h.peers[peer]
	if r == nil {
		return Traffic{}
	}
	t := Traffic{Sent: r.sent, Current: r.choice.Primary}
	if !t.Current.IsSet() {
		t.Current = r.current
	}
	return t
}

func (h *host) Resend(peer Key) {
	r := h.peers[peer]
	if r.unanswered && h.w.now.Sub(r.initiated) <= 5*time.Second {
		r.resent++
		r.transmit(packet{kind: 'i', from: h.id.Public(), to: r.key})
	}
}

func (h *host) Watch(peer Key, on bool) { h.peers[peer].watch = on }

// write is a packet of an application.
func (r *remote) write(reply bool) {
	r.next++
	p := packet{kind: 'd', from: r.h.id.Public(), to: r.key, seq: r.next, reply: reply}
	if !r.established {
		if len(r.queue) < 100 {
			r.queue = append(r.queue, p)
		}
		r.initiate()
		return
	}
	r.sent++
	r.transmit(p)
}

func (r *remote) initiate() {
	if r.unanswered && r.h.w.now.Sub(r.initiated) < 5*time.Second {
		return
	}
	r.initiated, r.unanswered = r.h.w.now, true
	r.sent++
	r.transmit(packet{kind: 'i', from: r.h.id.Public(), to: r.key})
	if !r.h.plain {
		r.h.agent.Wanted(r.h.w.now, r.key)
		r.h.schedule()
	}
}

// transmit sends a packet to where packets to the peer go now.
func (r *remote) transmit(p packet) {
	to := r.choice.Primary
	if !to.IsSet() {
		to = r.current
	}
	for _, path := range []Path{to, r.choice.Also} {
		r.transmitOver(p, path)
	}
}

func (r *remote) transmitOver(p packet, over Path) {
	if !over.IsSet() {
		return
	}
	size := r.size
	if over.VNI.IsSet() {
		size += geneve.HeaderLen
	}
	r.h.w.send(r.h.name, r.h.nat, &datagram{src: r.h.addr, dst: over.Addr, vni: over.VNI, packet: p, size: size})
}

func (h *host) receive(d *datagram) {
	from := Path{Addr: d.src, VNI: d.vni}
	if d.frame != nil {
		if h.plain || !disco.IsFrame(d.frame) || !h.agent.Knows(disco.FrameTag(d.frame)) {
			return
		}
		h.agent.Receive(h.w.now, from, d.control, d.frame)
		h.check()
		h.schedule()
		return
	}
	if d.vni.IsSet() && !h.agent.Carries(from) {
		return
	}
	r := h.peers[d.packet.from]
	if r == nil || d.packet.to != h.id.Public() {
		return
	}
	switch d.packet.kind {
	case 'i':
		r.current = from
		r.sent++
		r.transmitOver(packet{kind: 'r', from: h.id.Public(), to: r.key}, from)
	case 'r':
		if !r.unanswered {
			return
		}
		r.unanswered, r.established = false, true
		r.current = from
		queue := r.queue
		r.queue = nil
		for _, p := range queue {
			r.sent++
			r.transmit(p)
		}
	case 'd':
		if r.seen[d.packet.seq] {
			r.twice++
			break // the window drops it, but it is authentic
		}
		r.current = from
		r.established, r.unanswered = true, false
		r.seen[d.packet.seq] = true
		if !r.arrived.IsZero() {
			r.longest = max(r.longest, h.w.now.Sub(r.arrived))
		}
		r.arrived = h.w.now
		if d.packet.reply {
			r.write(false)
		}
		if len(r.queue) > 0 {
			queue := r.queue
			r.queue = nil
			for _, p := range queue {
				r.sent++
				r.transmit(p)
			}
		}
	}
	if !h.plain && r.watch && h.w.now.Sub(r.lastHeard[from]) >= 100*time.Millisecond {
		r.lastHeard[from] = h.w.now
		h.agent.Heard(h.w.now, r.key, from)
		h.check()
		h.schedule()
	}
}

// talk makes a send packets to b, which answers each, like acknowledgements.
// The function that is returned ends it.
func (w *world) talk(a, b *host, every time.Duration) (stop func()) {
	on := true
	var step func()
	step = func() {
		if !on {
			return
		}
		a.peer(b).write(true)
		w.after(every, step)
	}
	step()
	return func() { on = false }
}

// lost returns how many packets of a to b are missing, but for the last ones.
func (w *world) lost(a, b *host) int {
	return int(a.peer(b).next) - len(b.peer(a).seen)
}

// check looks at what must always be true.
func (h *host) check() {
	a := h.agent
	for _, p := range a.peers {
		if len(p.cands) > maxCandidates || len(p.pings) > maxPings || len(p.sessions) > len(a.relays) {
			h.w.t.Fatalf("seed %d: %s has %d candidates, %d pings, %d sessions", h.w.seed, h.name, len(p.cands), len(p.pings), len(p.sessions))
		}
		if p.primary != nil && (!slices.Contains(p.cands, p.primary) || p.choice.Primary != p.primary.path) {
			h.w.t.Fatalf("seed %d: %s uses %v, which is no candidate, and says %v", h.w.seed, h.name, p.primary.path, p.choice.Primary)
		}
		if p.primary == nil && p.choice.Primary.IsSet() {
			h.w.t.Fatalf("seed %d: %s has chosen %v without a candidate", h.w.seed, h.name, p.choice.Primary)
		}
		for _, path := range []Path{p.choice.Primary, p.choice.Also} {
			if path.Addr == h.addr || path.IsSet() && !path.VNI.IsSet() && a.isRelay(path.Addr) || path.VNI.IsSet() && !a.Carries(path) {
				h.w.t.Fatalf("seed %d: %s chose %v", h.w.seed, h.name, path)
			}
		}
		for i := 1; i < len(p.pings); i++ {
			if p.pings[i].sent < p.pings[i-1].sent {
				h.w.t.Fatalf("pings are out of order")
			}
		}
	}
	if len(a.ours.list) > disco.MaxCandidates || len(a.ours.observed) > maxObserved {
		h.w.t.Fatalf("%d own addresses", len(a.ours.list))
	}
}
