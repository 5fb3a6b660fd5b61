// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A topColumn is a column of the table of peers.
type topColumn struct {
	title string
	order byte // key of the order that belongs to it; 0: none
	right bool // aligned
	// least is how narrow it may be, so that numbers that change do not move the others;
	// a column that is not elastic is as wide as its widest cell.
	least   int
	elastic bool
	// rank says how important it is: the highest ones are left out first where there is
	// no room, all of a rank at once, 0 never.
	rank  int
	cell  func(p *topPeer, now time.Time) string
	style func(p *topPeer, now time.Time) string // attribute; nil: none
}

// topColumns are the columns from left to right.
func topColumns() []topColumn {
	return []topColumn{
		{title: "PEER", order: 'n', least: 9, cell: func(p *topPeer, _ time.Time) string { return p.name() }},
		{title: "ADDRESS", least: 10, rank: 5, cell: func(p *topPeer, _ time.Time) string { return p.address }},
		{title: "RECEIVED", order: 'r', right: true, least: 11, style: idleStyle,
			cell: func(p *topPeer, _ time.Time) string { return bitRate(p.rxRate) }},
		{title: "SENT", order: 't', right: true, least: 11, style: idleStyle,
			cell: func(p *topPeer, _ time.Time) string { return bitRate(p.txRate) }},
		{title: "PATH", order: 'p', least: 21, elastic: true, rank: 2, cell: pathCell, style: pathStyle},
		{title: "LATENCY", order: 'l', right: true, least: 7, rank: 3,
			cell: func(p *topPeer, _ time.Time) string { return known(p.latency > 0, millis(p.latency)) }},
		{title: "LOSS", right: true, least: 5, rank: 4, cell: lossCell, style: lossStyle},
		{title: "HANDSHAKE", order: 'h', right: true, least: 9, rank: 1, cell: handshakeCell, style: handshakeStyle},
		{title: "TOTAL RX", right: true, least: 10, rank: 6, cell: func(p *topPeer, _ time.Time) string { return size(p.rx) }},
		{title: "TOTAL TX", right: true, least: 10, rank: 6, cell: func(p *topPeer, _ time.Time) string { return size(p.tx) }},
	}
}

func pathCell(p *topPeer, _ time.Time) string {
	text := known(p.path.text != "", p.path.text)
	if p.path.doubted {
		text = "? " + text
	}
	return text
}

func pathStyle(p *topPeer, _ time.Time) string {
	switch {
	case p.path.doubted:
		return sgrRed
	case p.path.relayed:
		return sgrYellow
	}
	return ""
}

func lossCell(p *topPeer, _ time.Time) string {
	return known(p.loss >= 0, fmt.Sprintf("%.0f %%", p.loss*100))
}

func lossStyle(p *topPeer, _ time.Time) string {
	switch {
	case p.loss >= 0.25:
		return sgrRed
	case p.loss > 0:
		return sgrYellow
	}
	return ""
}

func handshakeCell(p *topPeer, now time.Time) string {
	if p.handshake.IsZero() {
		return "never"
	}
	return shortAge(now.Sub(p.handshake))
}

// handshakeStyle: without a keepalive a peer that is silent is merely idle.
func handshakeStyle(p *topPeer, now time.Time) string {
	switch {
	case p.fresh(now):
		return ""
	case p.keepalive:
		return sgrRed
	}
	return sgrDim
}

func idleStyle(p *topPeer, _ time.Time) string {
	if p.rxRate <= 0 && p.txRate <= 0 {
		return sgrDim
	}
	return ""
}

// gap is between two columns.
const gap = "  "

// table returns the heading and a line for each of the peers.
func (l *topLook) table(peers []topPeer, now time.Time) []string {
	columns, widths := l.layout(peers, now)
	order := topOrders()[l.order].key
	var heading []string
	for i, c := range columns {
		title := c.title
		if c.order == order && l.keys {
			title += map[bool]string{false: "*", true: "'"}[l.reverse]
		}
		heading = append(heading, c.pad(title, widths[i]))
	}
	lines := []string{l.paint(sgrReverse, l.fill(strings.Join(heading, gap)))}
	for i := range peers {
		p := &peers[i]
		var b strings.Builder
		room := l.width
		for j, c := range columns {
			cell := c.pad(c.cell(p, now), widths[j])
			if j > 0 {
				cell = gap + cell
			}
			if l.width > 0 { // the columns that are never left out may still be too wide
				cell = cutTo(cell, room)
				room -= len([]rune(cell))
			}
			if c.style != nil {
				cell = l.paint(c.style(p, now), cell)
			}
			b.WriteString(cell)
		}
		lines = append(lines, strings.TrimRight(b.String(), " "))
	}
	return lines
}

// pad makes a cell as wide as its column.
func (c *topColumn) pad(text string, width int) string {
	text = cutTo(text, width)
	space := strings.Repeat(" ", width-len([]rune(text)))
	if c.right {
		return space + text
	}
	return text + space
}

// layout chooses the columns that fit on the screen, and how wide they are.
func (l *topLook) layout(peers []topPeer, now time.Time) (columns []topColumn, widths []int) {
	columns = topColumns()
	natural := make(map[string]int, len(columns))
	for _, c := range columns {
		widest := max(c.least, len(c.title)+1) // with the mark of the order
		for i := range peers {
			widest = max(widest, len([]rune(c.cell(&peers[i], now))))
		}
		natural[c.title] = widest
	}
	for l.width > 0 && minimalWidth(columns, natural) > l.width {
		worst := 0
		for i := range columns {
			if columns[i].rank >= columns[worst].rank {
				worst = i
			}
		}
		if columns[worst].rank == 0 {
			break
		}
		rank := columns[worst].rank
		columns = slices.DeleteFunc(columns, func(c topColumn) bool { return c.rank == rank })
	}
	spare := 1 << 20
	if l.width > 0 {
		spare = max(0, l.width-minimalWidth(columns, natural))
	}
	for _, c := range columns {
		width := natural[c.title]
		if c.elastic {
			width = min(width, c.least+spare)
		}
		widths = append(widths, width)
	}
	return columns, widths
}

// minimalWidth is how wide a line is with the elastic columns at their least.
func minimalWidth(columns []topColumn, natural map[string]int) int {
	sum := len(gap) * (len(columns) - 1)
	for _, c := range columns {
		if c.elastic {
			sum += c.least
		} else {
			sum += natural[c.title]
		}
	}
	return sum
}
