// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package web

import (
	"cmp"
	"crypto/rand"
	"slices"
	"sync"
	"time"
)

const (
	// historySamples is how many samples are kept: ten minutes, one in two seconds.
	historySamples = 300
	// maxShown bounds the peers that the page shows and that have a history: 2.4
	// MB. A table of more is of no use to people.
	maxShown = 1000
	// maxPlotted bounds the peers whose history is sent, the busiest: 300 samples
	// of two numbers for each are some 250 KB for all.
	maxPlotted = 64
)

// noRate is the rate of a peer at a time when it was not there.
const noRate = -1

// A rate is what was transferred in bytes per second.
type rate struct{ rx, tx float32 }

// A series has the rates of something, those that a history has times for.
type series struct {
	rates []rate
	sum   float64 // of all that are there
}

func (s *series) push(r rate) {
	s.rates = append(s.rates, r)
	if r.rx >= 0 {
		s.sum += float64(r.rx) + float64(r.tx)
	}
	if over := len(s.rates) - historySamples; over > 0 {
		for _, old := range s.rates[:over] {
			if old.rx >= 0 {
				s.sum -= float64(old.rx) + float64(old.tx)
			}
		}
		s.rates = slices.Delete(s.rates, 0, over)
	}
}

// transferred are the counters of a peer.
type transferred struct{ rx, tx uint64 }

// shownPeer is a peer of the newest sample.
type shownPeer struct {
	*PagePeer
	now    rate
	series *series
}

// shownDrop is a counter of the newest sample with its growth per second.
type shownDrop struct {
	PageDrop
	rate float64
}

type dropKey struct{ stage, reason string }

// A history keeps the samples of the last ten minutes. Its methods may be called at
// any time.
type history struct {
	id string // tells histories apart, so that nobody asks this one for another's samples

	mu    sync.Mutex // guards below; held for copying only
	seq   uint64     // number of the newest sample, 0: there is none
	at    time.Time  // of the newest sample
	times []int64    // of the samples, Unix ms
	total series
	peers map[string]*series // by public key, those that are shown
	data  *PageData
	shown []shownPeer // busiest first
	drops []shownDrop

	// Owned by the goroutine that calls add: counters of the sample before.
	lastAt    time.Time
	lastPeers map[string]transferred
	lastDrops map[dropKey]uint64
	lastRelay *transferred // nil: none
}

func newHistory() *history {
	return &history{id: rand.Text()[:8], peers: make(map[string]*series)}
}

// add takes up what was true at a time. It is called by one goroutine. d is kept.
func (h *history) add(d *PageData, at time.Time) {
	seconds := at.Sub(h.lastAt).Seconds()
	if h.lastAt.IsZero() || seconds <= 0 {
		seconds = 0 // there is no rate yet
	}
	shown, total := h.peerRates(d, seconds)
	if r, alone := h.relayRate(d, seconds); alone {
		total = r
	}
	drops := h.dropRates(d, seconds)
	h.lastAt = at

	h.mu.Lock()
	defer h.mu.Unlock()
	h.seq++
	h.at, h.data, h.drops = at, d, drops
	h.times = append(h.times, at.UnixMilli())
	if over := len(h.times) - historySamples; over > 0 {
		h.times = slices.Delete(h.times, 0, over)
	}
	h.total.push(total)
	h.shown = h.chooseLocked(shown)
}

// chooseLocked chooses the peers to show and puts their rates into their series.
func (h *history) chooseLocked(shown []shownPeer) []shownPeer {
	for i := range shown {
		shown[i].series = h.peers[shown[i].PublicKey]
	}
	weight := func(p *shownPeer) float64 {
		w := float64(max(0, p.now.rx)) + float64(max(0, p.now.tx))
		if p.series != nil {
			w += p.series.sum
		}
		return w
	}
	slices.SortFunc(shown, func(a, b shownPeer) int {
		return cmp.Or(cmp.Compare(weight(&b), weight(&a)), cmp.Compare(a.PublicKey, b.PublicKey))
	})
	shown = shown[:min(len(shown), maxShown)]
	kept := make(map[string]*series, len(shown))
	for i := range shown {
		p := &shown[i]
		if p.series == nil {
			p.series = new(series)
			for range len(h.times) - 1 { // it was not there, or not shown
				p.series.push(rate{noRate, noRate})
			}
		}
		p.series.push(p.now)
		kept[p.PublicKey] = p.series
	}
	h.peers = kept
	return shown
}

// peerRates returns the peers of d with their rates, and the sum of these.
func (h *history) peerRates(d *PageData, seconds float64) (shown []shownPeer, total rate) {
	now := make(map[string]transferred, len(d.Peers))
	shown = make([]shownPeer, 0, len(d.Peers))
	for i := range d.Peers {
		p := &d.Peers[i]
		t := transferred{p.RxBytes, p.TxBytes}
		if _, twice := now[p.PublicKey]; twice {
			continue
		}
		now[p.PublicKey] = t
		r := rate{}
		if before, ok := h.lastPeers[p.PublicKey]; ok {
			r = rate{perSecond(before.rx, t.rx, seconds), perSecond(before.tx, t.tx, seconds)}
		}
		total.rx += r.rx
		total.tx += r.tx
		shown = append(shown, shownPeer{PagePeer: p, now: r})
	}
	h.lastPeers = now
	return shown, total
}

// relayRate returns the rate of a relay, and whether it is all there is to show: the
// traffic of a router is that of its peers.
func (h *history) relayRate(d *PageData, seconds float64) (r rate, alone bool) {
	before := h.lastRelay
	h.lastRelay = nil
	if d.RelayServer == nil || len(d.Peers) > 0 {
		return rate{}, false
	}
	now := transferred{d.RelayServer.RxBytes, d.RelayServer.TxBytes}
	h.lastRelay = &now
	if before != nil {
		r = rate{perSecond(before.rx, now.rx, seconds), perSecond(before.tx, now.tx, seconds)}
	}
	return r, true
}

// dropRates returns the drops of d with their rates.
func (h *history) dropRates(d *PageData, seconds float64) []shownDrop {
	now := make(map[dropKey]uint64, len(d.Drops))
	out := make([]shownDrop, 0, len(d.Drops))
	for _, drop := range d.Drops {
		key := dropKey{drop.Stage, drop.Reason}
		now[key] = drop.Packets
		s := shownDrop{PageDrop: drop}
		if h.lastDrops != nil { // one that is new now was 0
			s.rate = float64(perSecond(h.lastDrops[key], drop.Packets, seconds))
		}
		out = append(out, s)
	}
	h.lastDrops = now
	return out
}

// perSecond returns the growth of a counter, 0 when it began anew.
func perSecond(before, after uint64, seconds float64) float32 {
	if seconds <= 0 || after < before {
		return 0
	}
	return float32(float64(after-before) / seconds)
}
