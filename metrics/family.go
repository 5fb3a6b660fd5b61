// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package metrics

import (
	"cmp"
	"math"
	"slices"

	dto "github.com/prometheus/client_model/go"
)

// A kind is the type of a family.
type kind uint8

const (
	counter kind = iota
	gauge
	histogram
)

func (k kind) String() string { return [...]string{"counter", "gauge", "histogram"}[k] }

func (k kind) dto() dto.MetricType {
	return [...]dto.MetricType{dto.MetricType_COUNTER, dto.MetricType_GAUGE, dto.MetricType_HISTOGRAM}[k]
}

// A family is a name, what it means, and how its samples are read from a Snapshot.
type family struct {
	name string
	kind kind
	help string
	// device is the label with the name of the interface, which all families have; ""
	// stands for device.
	device string
	// labels are those after it.
	labels []string
	// perPeer says that there is a sample or more for each peer, within
	// [Options.Peers].
	perPeer bool
	samples func(s *Snapshot, w *writer)
}

// families returns all that there are, by name; with those of another exporter if
// wanted.
func families(mindFlavor bool) []family {
	all := slices.Concat(peerFamilies(), peerPathFamilies(), deviceFamilies(), accountFamilies(), socketFamilies(), xdpFamilies(), tunFamilies(), linkFamilies(), hubFamilies(),
		filterFamilies(), pathFamilies(), relayFamilies(), netstackFamilies(), serviceFamilies())
	if mindFlavor {
		all = append(all, mindFlavorFamilies()...)
	}
	slices.SortFunc(all, func(a, b family) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return all
}

// A writer makes the samples of one family. It keeps its memory for the next one:
// what it made is valid until then.
type writer struct {
	family *family
	device string
	names  []string // device and the labels of family

	out     []*dto.Metric
	metrics slab[dto.Metric]
	counts  slab[dto.Counter]
	gauges  slab[dto.Gauge]
	floats  slab[float64]
	pairs   slab[dto.LabelPair]
	refs    slab[*dto.LabelPair]
	values  slab[string]
}

// begin makes w write samples of f.
func (w *writer) begin(f *family, device string) {
	w.family, w.device = f, device
	w.names = append(append(w.names[:0:0], cmp.Or(f.device, "device")), f.labels...)
	w.out = w.out[:0]
	w.metrics.reset()
	w.counts.reset()
	w.gauges.reset()
	w.floats.reset()
	w.pairs.reset()
	w.refs.reset()
	w.values.reset()
}

// end returns what was written, nil without any sample.
func (w *writer) end() *dto.MetricFamily {
	if len(w.out) == 0 {
		return nil
	}
	return &dto.MetricFamily{Name: &w.family.name, Help: &w.family.help, Type: w.family.kind.dto().Enum(), Metric: w.out}
}

// metric adds a sample without a value.
func (w *writer) metric(labels []string) *dto.Metric {
	if len(labels)+1 != len(w.names) {
		panic("metrics: " + w.family.name + ": wrong number of labels")
	}
	m := &w.metrics.take(1)[0]
	m.Counter, m.Gauge, m.Histogram = nil, nil, nil
	n := len(w.names)
	values, pairs, refs := w.values.take(n), w.pairs.take(n), w.refs.take(n)
	values[0] = w.device
	copy(values[1:], labels)
	for i := range pairs {
		pairs[i].Name, pairs[i].Value = &w.names[i], &values[i]
		refs[i] = &pairs[i]
	}
	m.Label = refs
	w.out = append(w.out, m)
	return m
}

// float adds a sample of a counter or gauge. labels are in the order of the family's.
func (w *writer) float(v float64, labels ...string) {
	m := w.metric(labels)
	value := &w.floats.take(1)[0]
	*value = v
	if w.family.kind == counter {
		m.Counter = &w.counts.take(1)[0]
		m.Counter.Value = value
	} else {
		m.Gauge = &w.gauges.take(1)[0]
		m.Gauge.Value = value
	}
}

// count adds a sample of a number. Above 2^53 it is rounded.
func (w *writer) count(n uint64, labels ...string) { w.float(float64(n), labels...) }

// number is count for what may be negative for a moment.
func (w *writer) number(n int, labels ...string) { w.float(float64(n), labels...) }

// truth adds 1 for true and 0 for false.
func (w *writer) truth(b bool, labels ...string) {
	if b {
		w.float(1, labels...)
	} else {
		w.float(0, labels...)
	}
}

// histogram adds a sample of a histogram; none for one that has no buckets.
func (w *writer) histogram(h *Histogram, labels ...string) {
	if len(h.Counts) == 0 || len(h.Counts) != len(h.Bounds)+1 {
		return
	}
	out := &dto.Histogram{SampleSum: new(float64), SampleCount: new(uint64)}
	*out.SampleSum = float64(h.Sum)
	var total uint64
	for i, n := range h.Counts {
		total += n
		bound := math.Inf(1)
		if i < len(h.Bounds) {
			bound = h.Bounds[i]
		}
		sum := total
		out.Bucket = append(out.Bucket, &dto.Bucket{UpperBound: &bound, CumulativeCount: &sum})
	}
	*out.SampleCount = total
	w.metric(labels).Histogram = out
}

// A slab hands out elements of arrays that it keeps.
type slab[T any] struct {
	blocks [][]T
	block  int // the one in use
	used   int // elements of it that are taken
}

// slabSize is how many elements a block has.
const slabSize = 1024

func (s *slab[T]) reset() { s.block, s.used = 0, 0 }

// take returns n elements, at most slabSize, with what they had before.
func (s *slab[T]) take(n int) []T {
	if s.block < len(s.blocks) && s.used+n > slabSize {
		s.block, s.used = s.block+1, 0
	}
	if s.block == len(s.blocks) {
		s.blocks = append(s.blocks, make([]T, slabSize))
	}
	out := s.blocks[s.block][s.used : s.used+n : s.used+n]
	s.used += n
	return out
}
