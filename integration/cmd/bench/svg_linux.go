// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// The chart has a panel for each main figure, two beside each other, and in it a
// bar for each program:
//
//	work: figure, unit
//	program  ██████████├─┤  median (least – most)
//
// Lengths are in pixels.
const (
	chartMargin   = 20
	chartColumns  = 2
	panelWidth    = 480
	panelGap      = 14
	titleHeight   = 22
	barHeight     = 14
	barPitch      = 20
	barLeft       = 120 // behind the names of the programs
	barLength     = 220
	rangeHeight   = 6
	headingHeight = 56
)

// barColours can be told apart on white and on black, by people who see few
// colours too (Okabe and Ito, 2008); from the first again when there are more
// programs.
var barColours = []string{"#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"}

const chartStyle = `<style>
.bg { fill: #ffffff } text { fill: #1f2328; font: 12px system-ui, sans-serif } .title { font-weight: 600 } .small { fill: #57606a; font-size: 11px } .range { stroke: #1f2328; stroke-width: 1.5; fill: none }
@media (prefers-color-scheme: dark) { .bg { fill: #0d1117 } text { fill: #e6edf3 } .small { fill: #9198a1 } .range { stroke: #e6edf3 } }
</style>
`

// A panel is one figure of one work.
type panel struct {
	title string
	bars  []bar
}

type bar struct {
	impl   string
	colour string
	series series
	reason string // why there is none
}

func (p panel) height() int { return titleHeight + len(p.bars)*barPitch + panelGap }

// panels returns what the chart shows.
func panels(works []work, results []result) []panel {
	var all []panel
	for _, w := range works {
		main := mainFigures(results, w.name)
		if len(main) == 0 {
			continue
		}
		for _, f := range main {
			p := panel{title: fmt.Sprintf("%s: %s, %s", w.name, f.name, f.unit)}
			if f.less {
				p.title += " (less is better)"
			}
			for i, impl := range w.impls {
				b := bar{impl: impl, colour: barColours[i%len(barColours)], series: find(results, w.name, f.name, impl)}
				if len(b.series.values) == 0 {
					reasons := failures(results, w.name, impl)
					if len(reasons) == 0 {
						continue
					}
					b.reason = reasons[0]
				}
				p.bars = append(p.bars, b)
			}
			all = append(all, p)
		}
	}
	return all
}

// writeSVG draws the main figures: medians as bars, with the range of the runs.
func writeSVG(w io.Writer, m machine, works []work, results []result) error {
	all := panels(works, results)
	var body strings.Builder
	y := headingHeight + chartMargin
	for len(all) > 0 {
		row := all[:min(chartColumns, len(all))]
		all = all[len(row):]
		height := 0
		for i, p := range row {
			p.draw(&body, chartMargin+i*(panelWidth+chartMargin), y)
			height = max(height, p.height())
		}
		y += height
	}
	width := chartMargin + chartColumns*(panelWidth+chartMargin)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img">`+"\n", width, y+chartMargin)
	b.WriteString(chartStyle)
	fmt.Fprintf(&b, `<rect class="bg" width="%d" height="%d"/>`+"\n", width, y+chartMargin)
	text(&b, chartMargin, chartMargin+14, "small", fmt.Sprintf("%s, %s, %d CPUs, Linux %s, %s; load average %s to %s", m.Date, m.CPU, m.CPUs, m.Kernel, m.Go, m.LoadStart, m.LoadEnd))
	text(&b, chartMargin, chartMargin+32, "small", clip(m.Command, 150))
	legend := "Bars: medians. Lines: least to most of the runs. * the sender was at its limit, not the program. † 1 % or more was lost at that rate."
	if m.Stopped {
		legend += " " + stoppedNote
	}
	text(&b, chartMargin, chartMargin+50, "small", legend)
	b.WriteString(body.String())
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (p panel) draw(b *strings.Builder, x, y int) {
	text(b, x, y+titleHeight-8, "title", p.title)
	most := 0.0
	for _, bar := range p.bars {
		if len(bar.series.values) > 0 {
			most = max(most, bar.series.most())
		}
	}
	length := func(v float64) float64 {
		if most == 0 {
			return 0
		}
		return v / most * barLength
	}
	for i, bar := range p.bars {
		top := y + titleHeight + i*barPitch
		text(b, x, top+barHeight-3, "", bar.impl)
		s := bar.series
		if len(s.values) == 0 {
			text(b, x+barLeft, top+barHeight-3, "small", clip(bar.reason, 60))
			continue
		}
		left := float64(x + barLeft)
		middle := float64(top) + barHeight/2
		fmt.Fprintf(b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", left, top, length(s.median()), barHeight, bar.colour)
		least, most := left+length(s.least()), left+length(s.most())
		end := fmt.Sprintf("%.1fv%d", middle-rangeHeight/2, rangeHeight)
		fmt.Fprintf(b, `<path class="range" d="M%.1f %.1fH%.1fM%.1f %sM%.1f %s"/>`+"\n", least, middle, most, least, end, most, end)
		text(b, x+barLeft+barLength+8, top+barHeight-3, "", fmt.Sprintf("%s%s (%s – %s)", number(s.median()), s.marks, number(s.least()), number(s.most())))
	}
}

func text(b *strings.Builder, x, y int, class, s string) {
	if class != "" {
		class = ` class="` + class + `"`
	}
	fmt.Fprintf(b, `<text x="%d" y="%d"%s>`, x, y, class)
	xml.EscapeText(b, []byte(s)) // a strings.Builder does not fail
	b.WriteString("</text>\n")
}
