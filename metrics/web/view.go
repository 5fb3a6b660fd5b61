// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package web

import (
	"math"
	"time"
)

// A pageView is the answer to /api/v1/page. Rates are in bytes per second.
type pageView struct {
	*PageData
	History  string  `json:"history"` // which one, to be given back
	Seq      uint64  `json:"seq"`     // of the newest sample, to be given back
	Interval float64 `json:"interval_seconds"`
	Uptime   float64 `json:"uptime_seconds,omitempty"`
	// Keep is how many samples the page shall keep.
	Keep int `json:"keep"`

	Rx       float64     `json:"rx_rate"`
	Tx       float64     `json:"tx_rate"`
	NumPeers int         `json:"num_peers"` // shown or not
	Peers    []peerView  `json:"peers"`
	Drops    []dropView  `json:"drops"`
	Relays   []relayView `json:"relays"`
	NotReady []NotReady  `json:"not_ready,omitempty"`

	// Samples that are newer than the one asked from, oldest first: their times in
	// Unix milliseconds, and as many rates in each series, -1 when there was none.
	Times []int64      `json:"times"`
	Total seriesView   `json:"total"`
	Plots []seriesView `json:"plots"`
}

type peerView struct {
	*PagePeer
	Rx        float64  `json:"rx_rate"`
	Tx        float64  `json:"tx_rate"`
	Latency   *float64 `json:"latency_seconds,omitempty"`
	Handshake *float64 `json:"handshake_age_seconds,omitempty"`
}

type dropView struct {
	PageDrop
	Rate float64 `json:"rate"`
}

type relayView struct {
	PageRelay
	Latency *float64 `json:"latency_seconds,omitempty"`
}

type seriesView struct {
	Key string  `json:"key,omitempty"` // of the peer
	Rx  []int64 `json:"rx"`
	Tx  []int64 `json:"tx"`
}

// view returns the newest sample, with the history after sample since when id is that
// of this history, else with all; nil when there is no sample.
func (h *history) view(id string, since uint64) *pageView {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.seq == 0 {
		return nil
	}
	fresh := len(h.times)
	if id == h.id && since <= h.seq {
		fresh = int(min(uint64(fresh), h.seq-since))
	}
	v := &pageView{
		PageData: h.data, History: h.id, Seq: h.seq, Keep: historySamples,
		NumPeers: len(h.data.Peers),
		Peers:    make([]peerView, 0, len(h.shown)),
		Drops:    make([]dropView, 0, len(h.drops)),
		Relays:   make([]relayView, 0, len(h.data.Relays)),
		Times:    append([]int64{}, h.times[len(h.times)-fresh:]...),
		Total:    h.total.view("", fresh),
	}
	if !h.data.Started.IsZero() {
		v.Uptime = round(h.at.Sub(h.data.Started).Seconds())
	}
	last := h.total.rates[len(h.total.rates)-1]
	v.Rx, v.Tx = round(float64(last.rx)), round(float64(last.tx))
	for i, p := range h.shown {
		pv := peerView{
			PagePeer: p.PagePeer, Rx: round(float64(p.now.rx)), Tx: round(float64(p.now.tx)), Latency: seconds(p.PagePeer.Latency),
		}
		if at := p.PagePeer.Handshake; !at.IsZero() {
			age := max(0, h.at.Sub(at).Seconds())
			pv.Handshake = &age
		}
		v.Peers = append(v.Peers, pv)
		if i < maxPlotted {
			v.Plots = append(v.Plots, p.series.view(p.PublicKey, fresh))
		}
	}
	for _, d := range h.drops {
		v.Drops = append(v.Drops, dropView{d.PageDrop, round(d.rate)})
	}
	for _, r := range h.data.Relays {
		v.Relays = append(v.Relays, relayView{r, seconds(r.Latency)})
	}
	return v
}

// view returns the last n rates.
func (s *series) view(key string, n int) seriesView {
	n = min(n, len(s.rates))
	v := seriesView{Key: key, Rx: make([]int64, n), Tx: make([]int64, n)}
	for i, r := range s.rates[len(s.rates)-n:] {
		v.Rx[i], v.Tx[i] = int64(r.rx), int64(r.tx)
	}
	return v
}

// seconds returns a duration for JSON, nil for 0.
func seconds(d time.Duration) *float64 {
	if d <= 0 {
		return nil
	}
	s := d.Seconds()
	return &s
}

// round keeps a digit after the point.
func round(f float64) float64 { return math.Round(f*10) / 10 }
