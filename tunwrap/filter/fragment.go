// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package filter

import (
	"time"

	"github.com/tunrouter/tunrouter/tunwrap/inner"
)

// fragmentLife is how long the fragments of a datagram may take: what Linux waits
// (net.ipv4.ipfrag_time; 60 s of RFC 8200 for IPv6).
const fragmentLife = int64(30 * time.Second)

// maxDatagram is behind the last byte that any fragment may have (65,535).
const maxDatagram = 1 << 16

// fragment judges one fragment of several. It counts it, too.
func (f *Filter) fragment(b *Batch, p *inner.Packet, pkt []byte, t *tuple) Reason {
	key := *t
	// All fragments of a datagram have these in common. The protocol is one of them
	// for IPv4 only: of IPv6, where it is that of the first fragment (RFC 8200 section
	// 4.5), others may say what they like.
	key.srcPort, key.dstPort = uint16(p.ID>>16), uint16(p.ID)
	if key.v6 {
		key.protocol = 0
	}
	hash := f.fragments.seed.hash(&key)
	rule, reason, known := f.follow(b, p, &key, hash)
	if !known {
		// The flow is judged outside of the lock: the order of fragments of one
		// datagram is that of their goroutine.
		if rule, reason = f.packet(b, p, pkt, t); reason == Pass {
			f.expect(b, p, &key, hash, rule)
		}
	}
	return f.count(b, rule, reason, len(pkt))
}

// follow judges a fragment by what was seen of its datagram. It does not know a first
// one that was not there before. New rules do not end a datagram that is half way: its
// ports are in the first fragment, which has passed.
func (f *Filter) follow(b *Batch, p *inner.Packet, key *tuple, hash uint64) (_ *rule, _ Reason, known bool) {
	s := f.fragments.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(key, hash, s.at(b.now))
	if i == 0 {
		return nil, FragmentFirst, p.Offset > 0
	}
	fl := &s.flows[i]
	switch {
	case fl.denied:
	case p.Offset < int(fl.end):
		fl.denied = true
	default:
		rule := fl.rule
		fl.partial = fl.partial || p.Offset > int(fl.end)
		fl.end = uint32(p.Offset + p.FragmentLen)
		if !p.More {
			fl.end = maxDatagram
			if !fl.partial {
				s.remove(i) // all there; the identification may be used again
			}
		}
		return rule, Pass, true
	}
	return nil, FragmentOverlap, true
}

// expect remembers a first fragment that has passed.
func (f *Filter) expect(b *Batch, p *inner.Packet, key *tuple, hash uint64, rule *rule) {
	s := f.fragments.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.at(b.now)
	if i := s.find(key, hash, now); i != 0 {
		s.flows[i].denied = true // another one came at the same time
		return
	}
	if i := s.insert(key, hash, key.from, now); i != 0 {
		fl := &s.flows[i]
		fl.rule, fl.life, fl.end = rule, fragmentLife, uint32(p.FragmentLen)
	}
}
