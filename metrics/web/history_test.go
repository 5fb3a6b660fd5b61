// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package web

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// at returns a time of a history, n samples after the first.
func at(n int) time.Time { return time.Unix(1_700_000_000, 0).Add(time.Duration(n) * 2 * time.Second) }

func TestRates(t *testing.T) {
	h := newHistory()
	if h.view("", 0) != nil {
		t.Error("a view of nothing")
	}
	sample := func(n int, drops uint64, peers ...PagePeer) {
		h.add(&PageData{Peers: peers, Drops: []PageDrop{{"tun", "queue_full", drops}}}, at(n))
	}
	sample(0, 100, PagePeer{PublicKey: "a", RxBytes: 1000})
	sample(1, 104, PagePeer{PublicKey: "a", RxBytes: 3000, TxBytes: 500}, PagePeer{PublicKey: "b", RxBytes: 1 << 40})
	sample(2, 3, PagePeer{PublicKey: "b", RxBytes: 1<<40 + 20}, PagePeer{PublicKey: "a", RxBytes: 10, TxBytes: 700})
	v := h.view("", 0)
	if want := []int64{0, 1000, 10}; !slices.Equal(v.Total.Rx, want) {
		t.Errorf("total received %v, want %v", v.Total.Rx, want)
	}
	if want := []int64{0, 250, 100}; !slices.Equal(v.Total.Tx, want) {
		t.Errorf("total sent %v, want %v", v.Total.Tx, want)
	}
	if len(v.Plots) != 2 || v.Plots[0].Key != "a" || !slices.Equal(v.Plots[0].Rx, []int64{0, 1000, 0}) || !slices.Equal(v.Plots[0].Tx, []int64{0, 250, 100}) {
		t.Errorf("plots %+v", v.Plots)
	}
	if !slices.Equal(v.Plots[1].Rx, []int64{noRate, 0, 10}) {
		t.Errorf("plot of a peer that came later: %v", v.Plots[1].Rx)
	}
	if v.Rx != 10 || v.Tx != 100 || v.Peers[0].Tx != 100 || v.Peers[1].Rx != 10 || v.NumPeers != 2 {
		t.Errorf("rates %v %v, peers %+v", v.Rx, v.Tx, v.Peers)
	}
	if v.Drops[0].Rate != 0 || v.Drops[0].Packets != 3 {
		t.Errorf("drops %+v", v.Drops)
	}
	sample(3, 7)
	if v := h.view("", 0); v.Drops[0].Rate != 2 || len(v.Peers) != 0 || v.Rx != 0 {
		t.Errorf("drops %+v, peers %+v", v.Drops, v.Peers)
	}
	sample(3, 8) // no time has passed
	if v := h.view("", 0); v.Drops[0].Rate != 0 {
		t.Errorf("drops %+v", v.Drops)
	}
}

// The traffic of a relay alone is that of its sockets; beside peers it is theirs.
func TestRelayRates(t *testing.T) {
	h := newHistory()
	h.add(&PageData{RelayServer: &PageRelayServer{RxBytes: 1000, TxBytes: 500}}, at(0))
	h.add(&PageData{RelayServer: &PageRelayServer{RxBytes: 5000, TxBytes: 2500}}, at(1))
	if v := h.view("", 0); v.Rx != 2000 || v.Tx != 1000 || !slices.Equal(v.Total.Rx, []int64{0, 2000}) {
		t.Errorf("rates %v %v, total %v", v.Rx, v.Tx, v.Total)
	}
	h.add(&PageData{Peers: []PagePeer{{PublicKey: "a"}}, RelayServer: &PageRelayServer{RxBytes: 9000}}, at(2))
	h.add(&PageData{RelayServer: &PageRelayServer{RxBytes: 9 << 30}}, at(3))
	if v := h.view("", 0); v.Rx != 0 || !slices.Equal(v.Total.Rx, []int64{0, 2000, 0, 0}) {
		t.Errorf("rate %v, total %v", v.Rx, v.Total)
	}
}

func TestHistoryIsTenMinutes(t *testing.T) {
	h := newHistory()
	const n = historySamples + 50
	for i := range n {
		h.add(&PageData{Peers: []PagePeer{{PublicKey: "a", RxBytes: uint64(i * i)}}}, at(i))
	}
	v := h.view("", 0)
	if len(v.Times) != historySamples || len(v.Total.Rx) != historySamples || len(v.Plots[0].Rx) != historySamples {
		t.Fatalf("%d times, %d of all, %d of the peer", len(v.Times), len(v.Total.Rx), len(v.Plots[0].Rx))
	}
	if v.Times[historySamples-1] != at(n-1).UnixMilli() || v.Times[0] != at(50).UnixMilli() || v.Seq != n {
		t.Errorf("from %d to %d, number %d", v.Times[0], v.Times[historySamples-1], v.Seq)
	}
	sum := 0.0
	for _, r := range h.peers["a"].rates {
		sum += float64(r.rx)
	}
	if got := h.peers["a"].sum; math.Abs(got-sum) > 1 {
		t.Errorf("sum %v, want %v", got, sum)
	}

	for _, tt := range []struct {
		id    string
		since uint64
		want  int
	}{
		{h.id, n, 0},
		{h.id, n - 1, 1},
		{h.id, n - 7, 7},
		{h.id, 3, historySamples},
		{h.id, n + 1, historySamples}, // of another life
		{"other", n - 1, historySamples},
	} {
		v := h.view(tt.id, tt.since)
		if len(v.Times) != tt.want || len(v.Total.Tx) != tt.want || len(v.Plots[0].Tx) != tt.want {
			t.Errorf("since %d of %q: %d samples, want %d", tt.since, tt.id, len(v.Times), tt.want)
		}
		if tt.want > 0 && v.Times[tt.want-1] != at(n-1).UnixMilli() {
			t.Errorf("since %d of %q: ends at %d", tt.since, tt.id, v.Times[tt.want-1])
		}
	}
}

func TestManyPeersAreBounded(t *testing.T) {
	h := newHistory()
	const n, busy = 10_000, 7777
	for i := range 5 {
		d := &PageData{}
		for k := range n {
			p := PagePeer{PublicKey: fmt.Sprintf("peer %05d", k), RxBytes: uint64(i * k)}
			if k == busy {
				p.RxBytes = uint64(i) << 30
			}
			d.Peers = append(d.Peers, p)
		}
		d.Peers = append(d.Peers, d.Peers[0]) // one twice
		h.add(d, at(i))
	}
	v := h.view("", 0)
	if len(v.Peers) != maxShown || len(v.Plots) != maxPlotted || len(h.peers) != maxShown || v.NumPeers != n+1 {
		t.Errorf("%d shown, %d plotted, %d with a history, %d peers", len(v.Peers), len(v.Plots), len(h.peers), v.NumPeers)
	}
	if v.Peers[0].PublicKey != fmt.Sprintf("peer %05d", busy) || v.Peers[1].PublicKey != "peer 09999" {
		t.Errorf("busiest are %q and %q", v.Peers[0].PublicKey, v.Peers[1].PublicKey)
	}
	b, err := json.Marshal(v)
	if err != nil || len(b) > 1<<20 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

func TestSampleWhileViewed(t *testing.T) {
	h := newHistory()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 500 {
			h.add(&PageData{Peers: []PagePeer{{PublicKey: "a", RxBytes: uint64(i)}, {PublicKey: fmt.Sprint(i)}}}, at(i))
		}
	}()
	for {
		if v := h.view(h.id, 1); v != nil {
			if _, err := json.Marshal(v); err != nil {
				t.Fatal(err)
			}
			if len(v.Times) != len(v.Total.Rx) {
				t.Fatalf("%d times, %d rates", len(v.Times), len(v.Total.Rx))
			}
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

func TestDocumentIsWhole(t *testing.T) {
	d, err := newDocument()
	if err != nil {
		t.Fatal(err)
	}
	body := string(d.body)
	if len(body) > 64<<10 {
		t.Errorf("the page has %d bytes", len(body))
	}
	// Nothing from elsewhere, nothing that the policy would not let run, and no
	// part that ends the element it is put into.
	for _, tt := range []struct {
		what string
		want int
	}{
		{"<script", 1}, {"</script", 1}, {"<style", 1}, {"</style", 1},
		{"src=", 0}, {"@import", 0}, {"url(", 0}, {" style=", 0}, {" onclick=", 0}, {"https://", 0},
		{"innerHTML", 0}, {"eval(", 0}, {"/*STYLE*/", 0}, {"/*SCRIPT*/", 0},
		{"http://", strings.Count(body, "http://www.w3.org/2000/svg")},
	} {
		if n := strings.Count(body, tt.what); n != tt.want {
			t.Errorf("%q is there %d times, want %d", tt.what, n, tt.want)
		}
	}
	for _, element := range []string{"script", "style"} {
		_, rest, _ := strings.Cut(body, "<"+element+">")
		text, _, _ := strings.Cut(rest, "</"+element+">")
		if want := element + "-src '" + hashOf(text) + "'"; !strings.Contains(d.policy, want) {
			t.Errorf("policy %q, want %q", d.policy, want)
		}
	}
}
