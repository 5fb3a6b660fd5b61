// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/tunrouter/tunrouter/peers/path"
)

// A topLook is how a sample is shown.
type topLook struct {
	name          string
	width, height int // of the screen in characters; 0: as much as it takes
	color         bool
	order         int // of topOrders
	reverse       bool
	first         int    // peers that are scrolled out at the top
	problem       string // why the sample is not newer; ""
	keys          bool   // say which keys there are
}

// fixedLines are those of a screen that are neither peers nor drops: three at the top, the
// heading, the line between the two, and the keys.
const fixedLines = 6

// minDropLines is what drops need at least: the heading, a reason, and how many there
// are more.
const minDropLines = 3

// sgr are the attributes of ECMA-48 that are used.
const (
	sgrBold    = "1"
	sgrDim     = "2"
	sgrReverse = "7"
	sgrRed     = "31"
	sgrYellow  = "33"
)

// render shows s, which has been sorted, and returns the lines and how many peers the
// screen has room for.
func (s *topSample) render(l *topLook) (lines []string, room int) {
	lines = append(lines, s.summary(l), s.traffic(l), "")
	if s.relay != nil && !s.relayAlone() {
		lines[2] = l.clip(s.relay.text())
	}
	if l.problem != "" {
		lines[2] = l.paint(sgrRed, l.clip(l.problem))
	}
	drops := s.dropLines(l, max(l.height/3, l.height-fixedLines-len(s.peers)))
	room = len(s.peers)
	if l.height > 0 {
		room = max(1, l.height-fixedLines-len(drops))
	}
	first := max(0, min(l.first, len(s.peers)-room))
	last := min(len(s.peers), first+room)
	lines = append(lines, l.table(s.peers[first:last], s.at)...)
	if l.height > 0 {
		for range room - (last - first) {
			lines = append(lines, "")
		}
	}
	lines = append(append(lines, ""), drops...)
	if l.keys {
		lines = append(lines, l.help(first, last, len(s.peers)))
	}
	if l.height > 0 && len(lines) > l.height {
		lines = lines[:l.height]
	}
	return lines, room
}

// summary is the line about the router.
func (s *topSample) summary(l *topLook) string {
	fresh, direct, relayed := 0, 0, 0
	for i := range s.peers {
		p := &s.peers[i]
		if p.fresh(s.at) {
			fresh++
		}
		if p.path.direct {
			direct++
		}
		if p.path.relayed {
			relayed++
		}
	}
	port := ""
	if s.port != 0 {
		port = fmt.Sprintf(", UDP port %d", s.port)
	}
	text := fmt.Sprintf("%s%s, peers %d: in session %d", l.name, port, len(s.peers), fresh)
	if s.relayAlone() {
		text = l.name + port + ", no peers"
	}
	if direct+relayed > 0 {
		text += fmt.Sprintf(", direct %d, over relays %d", direct, relayed)
	}
	text += ", at " + s.at.Format(time.TimeOnly)
	return l.paint(sgrBold, l.clip(text))
}

// traffic is the line with the sums.
func (s *topSample) traffic(l *topLook) string {
	if s.relayAlone() {
		return l.clip(s.relay.text())
	}
	return l.clip(fmt.Sprintf("received %s, sent %s; so far %s and %s", bitRate(s.rxRate), bitRate(s.txRate), size(s.rx), size(s.tx)))
}

// dropLines are the reasons for drops as a table, on a screen at most so many lines.
func (s *topSample) dropLines(l *topLook, most int) []string {
	drops := s.sortedDrops()
	left := 0
	switch {
	case len(drops) == 0:
		return []string{l.clip("nothing dropped")}
	case l.height > 0 && most < minDropLines:
		return nil
	case l.height > 0 && 1+len(drops) > most:
		left = len(drops) - (most - 2)
		drops = drops[:most-2]
	}
	lines := []string{l.paint(sgrReverse, l.fill(fmt.Sprintf("%-16s %-22s %12s %12s", "DROPPED BY", "REASON", "PACKETS", "PER SECOND")))}
	for _, d := range drops {
		c := s.drops[d]
		perSecond := known(c.perSecond >= 0, fmt.Sprintf("%.0f", c.perSecond))
		if c.perSecond > 0 && c.perSecond < 10 {
			perSecond = fmt.Sprintf("%.1f", c.perSecond)
		}
		line := l.clip(fmt.Sprintf("%-16s %-22s %12d %12s", d.stage, d.reason, c.total, perSecond))
		if c.perSecond > 0 {
			line = l.paint(sgrYellow, line)
		}
		lines = append(lines, line)
	}
	if left > 0 {
		lines = append(lines, l.paint(sgrDim, l.clip(fmt.Sprintf("and %d more reasons", left))))
	}
	return lines
}

// help is the last line of a screen.
func (l *topLook) help(first, last, all int) string {
	o := topOrders()[l.order]
	text := "q quit  "
	if last-first < all {
		text += fmt.Sprintf("up down %d-%d of %d  ", first+1, last, all)
	}
	for _, other := range topOrders() {
		text += fmt.Sprintf("%c ", other.key)
	}
	text += "sort by " + o.name
	if l.reverse {
		text += ", reversed"
	}
	return l.paint(sgrDim, l.clip(text))
}

// paint gives text an attribute, on a screen with colour.
func (l *topLook) paint(sgr, text string) string {
	if !l.color || sgr == "" || text == "" {
		return text
	}
	return "\x1b[" + sgr + "m" + text + "\x1b[0m"
}

// clip cuts text off at the end of the screen.
func (l *topLook) clip(text string) string {
	if l.width <= 0 {
		return text
	}
	return cutTo(text, l.width)
}

// fill makes text as wide as the screen, where that shows.
func (l *topLook) fill(text string) string {
	text = l.clip(text)
	if n := l.width - len([]rune(text)); l.color && n > 0 {
		text += strings.Repeat(" ", n)
	}
	return text
}

// cutTo cuts text to a width in characters; the last one says that there was more. What
// is shown has no wide and no combining characters, and nothing that a terminal obeys.
func cutTo(text string, width int) string {
	runes := []rune(text)
	for i, r := range runes {
		if !unicode.IsPrint(r) {
			runes[i] = '?'
		}
	}
	switch {
	case len(runes) <= width:
		return string(runes)
	case width <= 1:
		return string(runes[:max(0, width)])
	}
	return string(runes[:width-1]) + "…"
}

// bitRate writes a rate, given in bytes per second, with three digits.
func bitRate(bytes float64) string {
	if bytes < 0 {
		return "-"
	}
	f, names := bytes*8, []string{"bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"}
	for f >= 999.5 && len(names) > 1 {
		f, names = f/1000, names[1:]
	}
	digits := 0
	switch {
	case names[0] == "bit/s":
	case f < 9.995:
		digits = 2
	case f < 99.95:
		digits = 1
	}
	return fmt.Sprintf("%.*f %s", digits, f, names[0])
}

// shortAge writes how old something is in few characters.
func shortAge(d time.Duration) string {
	switch {
	case d < -time.Second:
		return "future"
	case d < time.Second:
		return "now"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d d", d/(24*time.Hour))
}

// maxTopName is how many characters of a name the table has room for.
const maxTopName = 20

// name is how the peer is called in the table.
func (t *topPeer) name() string {
	if t.called != "" {
		return cutTo(t.called, maxTopName)
	}
	return shortKey(path.Key(t.key))
}
