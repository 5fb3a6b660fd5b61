// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// A series is the values of one figure for one program.
type series struct {
	values []float64 // ascending, one of each run
	marks  string    // notes of any of them
}

// A figure is a row for each program.
type figure struct {
	name, unit string
	less       bool // is better
	main       bool // is in the chart
}

// figures returns the figures of a work in the order in which they came.
func figures(results []result, work string) []figure {
	var all []figure
	for _, r := range results {
		f := figure{r.Figure, r.Unit, r.Less, r.Main}
		if r.Work == work && r.Error == "" && !slices.Contains(all, f) {
			all = append(all, f)
		}
	}
	return all
}

// mainFigures returns those of the figures that the chart shows.
func mainFigures(results []result, work string) []figure {
	return slices.DeleteFunc(figures(results, work), func(f figure) bool { return !f.main })
}

// find returns the series of a figure of a work for a program; without values
// when there is none.
func find(results []result, work, figure, impl string) series {
	var s series
	for _, r := range results {
		if r.Work == work && r.Figure == figure && r.Impl == impl && r.Error == "" {
			s.values = append(s.values, r.Value)
			if mark(r.Note) && !strings.Contains(s.marks, r.Note) {
				s.marks += r.Note
			}
		}
	}
	slices.Sort(s.values)
	return s
}

// mark reports whether a note is shown beside the figure.
func mark(note string) bool { return note == senderLimited || note == tooFast }

// failures returns why runs of a work failed for a program.
func failures(results []result, work, impl string) []string {
	var reasons []string
	for _, r := range results {
		if r.Work == work && r.Impl == impl && r.Error != "" {
			reasons = append(reasons, r.Error)
		}
	}
	return reasons
}

func (s series) least() float64 { return s.values[0] }
func (s series) most() float64  { return s.values[len(s.values)-1] }

// median returns the middle value, or the mean of the two in the middle.
func (s series) median() float64 {
	n := len(s.values)
	if n%2 == 1 {
		return s.values[n/2]
	}
	return (s.values[n/2-1] + s.values[n/2]) / 2
}

// ratio returns the ratio of the medians, "—" when there is none.
func (s series) ratio(to series) string {
	if len(s.values) == 0 || len(to.values) == 0 || to.median() == 0 {
		return "—"
	}
	return strconv.FormatFloat(s.median()/to.median(), 'f', 2, 64)
}

// number formats a value with three digits that count, or all before the point.
func number(v float64) string {
	decimals := 0
	if v != 0 {
		decimals = max(0, min(4, 2-int(math.Floor(math.Log10(math.Abs(v))))))
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}
