// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/peers/path"
	"github.com/tunrouter/tunrouter/uapi"
)

// writePath prints where packets to a peer go, or nothing for a plain WireGuard peer.
func writePath(b *strings.Builder, p *uapi.Peer, now time.Time) {
	s := engine.PathOf(p)
	if s == nil || s.Router != "yes" {
		return
	}
	if !s.Choice.Primary.IsSet() {
		b.WriteString("  path: none that answers; packets go to the endpoint\n")
		return
	}
	fmt.Fprintf(b, "  path: %s", describePath(s.Choice.Primary, relayName(s, s.Choice.Primary)))
	if s.Latency > 0 {
		fmt.Fprintf(b, ", %s", millis(s.Latency))
	}
	if !s.Since.IsZero() {
		fmt.Fprintf(b, ", since %s", ago(now.Sub(s.Since)))
	}
	if s.Choice.Also.IsSet() {
		fmt.Fprintf(b, ", in doubt, also %s", describePath(s.Choice.Also, relayName(s, s.Choice.Also)))
	}
	b.WriteByte('\n')
}

// writeDiscovery prints how many routers there are by which path, and what this router
// forwards as a relay.
func writeDiscovery(b *strings.Builder, d *uapi.Device) {
	if s := engine.DiscoveryOf(d); s != nil && (s.Routers > 0 || s.Relays > 0) {
		fmt.Fprintf(b, "  routers: %d, reached directly %d, over relays %d; registered with relays: %d\n", s.Routers, s.Direct, s.Relayed, s.Relays)
	}
	if s := engine.RelayOf(d); s != nil {
		fmt.Fprintf(b, "  relay server: sessions %d, registered %d of %d, forwarded %s", s.Bound, s.Registrations, s.Clients, size(s.Bytes))
		dropped := uint64(0)
		for _, n := range s.Dropped {
			dropped += n
		}
		if dropped > 0 {
			fmt.Fprintf(b, ", dropped %d", dropped)
		}
		b.WriteByte('\n')
	}
}

// describePath says what kind of path p is: direct or over a relay, whose name may be "".
func describePath(p path.Path, relay string) string {
	switch {
	case !p.VNI.IsSet():
		return "direct " + p.Addr.String()
	case relay == "" || relay == p.Addr.String():
		return "relay " + p.String()
	}
	return fmt.Sprintf("relay %s (%s)", p, relay)
}

// relayName is the name of the relay that p leads over, "" if it has none.
func relayName(s *engine.PathInfo, p path.Path) string {
	for i := range s.Paths {
		if s.Paths[i].Path == p {
			return s.Paths[i].RelayName
		}
	}
	return ""
}

// writePaths prints all paths of a peer as a table, the one in use marked.
func writePaths(b *strings.Builder, p *uapi.Peer, now time.Time) {
	s := engine.PathOf(p)
	switch {
	case s == nil || s.Router == "no":
		b.WriteString("  paths: not looked for: a plain WireGuard peer, or discovery is off\n")
		return
	case s.Router != "yes":
		b.WriteString("  paths: not known yet whether the peer is a router\n")
	}
	if len(s.Paths) == 0 {
		return
	}
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "    path\tfrom\tstate\tlatency\tloss\twidth\tlast answer")
	for i := range s.Paths {
		c := &s.Paths[i]
		mark := "   "
		switch c.Path {
		case s.Choice.Primary:
			mark = "  *"
		case s.Choice.Also:
			mark = "  +"
		}
		fmt.Fprintf(t, "%s %s\t%s\t%s\t%s\t%.0f %%\t%s\t%s\n", mark, describePath(c.Path, c.RelayName), c.Kind,
			pathState(c), known(c.Latency > 0, millis(c.Latency)), c.Loss*100,
			known(c.Width > 0, strconv.Itoa(c.Width)), known(!c.Last.IsZero(), ago(now.Sub(c.Last))))
	}
	t.Flush() // to a strings.Builder, which takes everything
	if s.Switches > 0 {
		fmt.Fprintf(b, "  path changes: %d, the last one because: %s\n", s.Switches, known(s.Choice.Why != "", s.Choice.Why))
	}
}

func pathState(c *path.PathStatus) string {
	switch {
	case c.Trusted:
		return "answers"
	case c.Last.IsZero():
		return "never answered"
	}
	return "silent"
}

// known returns text, or a dash when it is not known.
func known(is bool, text string) string {
	if !is {
		return "-"
	}
	return text
}

// millis writes a latency with two digits that count.
func millis(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms < 1:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 9.95:
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}

// shortKey is the beginning of a public key, enough to tell peers apart.
func shortKey(k path.Key) string { return config.Key(k).String()[:8] + "…" }
