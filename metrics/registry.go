// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package metrics

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"
)

// AllPeers is an [Options.Peers] without a limit.
const AllPeers = -1

// Options change what a [Registry] shows. The zero value shows no single peer.
type Options struct {
	// Peers is how many peers have samples of their own: those that moved the most
	// bytes. Negative means all, 0 none.
	Peers int
	// MindFlavor adds wireguard_sent_bytes_total and the others of
	// github.com/MindFlavor/prometheus_wireguard_exporter, for dashboards made for it.
	MindFlavor bool
	// GoRuntime adds what the Go runtime and the operating system say of the process.
	GoRuntime bool
	// Version and Commit are those of the program, for router_build_info.
	Version, Commit string
}

// A Registry shows a router. [New] makes one.
type Registry struct {
	// Immutable after New.
	source   Source
	opts     Options
	families []family
	process  *prometheus.Registry // build information and Go runtime
	time     time.Duration        // that a scrape may take

	slots chan struct{} // a token for each scrape under way
}

// New returns a Registry of what src says. Options may be nil for those of a small
// router: all peers, no Go runtime.
func New(src Source, o *Options) *Registry {
	if o == nil {
		o = &Options{Peers: AllPeers}
	}
	r := &Registry{
		source:   src,
		opts:     *o,
		families: families(o.MindFlavor),
		process:  prometheus.NewRegistry(),
		time:     scrapeTime,
		slots:    make(chan struct{}, maxScrapes),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: buildName, Help: buildHelp,
		ConstLabels: prometheus.Labels{"version": o.Version, "commit": o.Commit, "goversion": runtime.Version()},
	})
	build.Set(1)
	r.process.MustRegister(build)
	if o.GoRuntime {
		r.process.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	return r
}

const (
	buildName = "router_build_info"
	buildHelp = "Always 1. The version of the program, and of Go."
)

// Gather returns all families that have samples, by name. It implements
// prometheus.Gatherer; the caller may keep the result.
func (r *Registry) Gather() ([]*dto.MetricFamily, error) {
	var out []*dto.MetricFamily
	err := r.each(func(f *dto.MetricFamily) error {
		out = append(out, f)
		return nil
	}, false)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(out, func(a, b *dto.MetricFamily) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return out, nil
}

// each calls f with each family: those of the process, then those of the router by
// name. With reuse a family is valid during the call only. It ends with the first
// error.
func (r *Registry) each(f func(*dto.MetricFamily) error, reuse bool) error {
	process, err := r.process.Gather()
	if err != nil {
		return fmt.Errorf("read the state of the process: %w", err)
	}
	for _, of := range process {
		if err := f(of); err != nil {
			return err
		}
	}
	from := r.source.Snapshot()
	if from == nil {
		return nil
	}
	s := new(Snapshot)
	*s = *from
	s.Services = merged(s.Services)
	shown := limited(s, r.opts.Peers)
	w := new(writer)
	for i := range r.families {
		if !reuse {
			w = new(writer)
		}
		of := &r.families[i]
		see := s
		if of.perPeer {
			see = shown
		}
		w.begin(of, s.Device)
		of.samples(see, w)
		if out := w.end(); out != nil {
			if err := f(out); err != nil {
				return err
			}
		}
	}
	return nil
}

// limited returns what families of peers may see of s: the peers that moved the most
// bytes, and their lanes.
func limited(s *Snapshot, limit int) *Snapshot {
	if limit < 0 || len(s.Peers) <= limit && limit > 0 {
		return s
	}
	out := *s
	out.Peers = busiest(s.Peers, limit)
	if s.Hub != nil {
		shown := make(map[string]struct{}, len(out.Peers))
		for i := range out.Peers {
			shown[out.Peers[i].PublicKey] = struct{}{}
		}
		hub := *s.Hub
		hub.Lanes = nil
		for _, l := range s.Hub.Lanes {
			if _, ok := shown[l.PublicKey]; ok {
				hub.Lanes = append(hub.Lanes, l)
			}
		}
		out.Hub = &hub
	}
	return &out
}

// busiest returns the n peers that moved the most bytes.
func busiest(peers []Peer, n int) []Peer {
	if n == 0 {
		return nil
	}
	peers = slices.Clone(peers)
	slices.SortFunc(peers, func(a, b Peer) int {
		return cmp.Or(cmp.Compare(b.RxBytes+b.TxBytes, a.RxBytes+a.TxBytes), cmp.Compare(a.PublicKey, b.PublicKey))
	})
	return peers[:min(n, len(peers))]
}
