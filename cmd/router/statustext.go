// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/uapi"
)

// writeText prints devices in the form of "wg show", with what wg does not know.
func writeText(b *strings.Builder, devices map[string]*uapi.Device, o *statusOptions, now time.Time) {
	for i, name := range slices.Sorted(maps.Keys(devices)) {
		if i > 0 {
			b.WriteByte('\n')
		}
		d := devices[name]
		fmt.Fprintf(b, "interface: %s\n", name)
		if public := publicKey(d); public != "" {
			fmt.Fprintf(b, "  public key: %s\n", public)
			fmt.Fprintf(b, "  private key: %s\n", hidden(d.PrivateKey, o.keys))
		}
		if d.ListenPort != 0 {
			fmt.Fprintf(b, "  listening port: %d\n", d.ListenPort)
		}
		if d.FwMark != 0 {
			fmt.Fprintf(b, "  fwmark: %#x\n", d.FwMark)
		}
		if q := engine.QueuesOf(d); q != nil {
			writeQueues(b, q)
		}
		for _, g := range engine.SocketGroups(d) {
			writeSockets(b, &g)
		}
		if x := engine.XDPOf(d); x != nil {
			writeXDP(b, x)
		}
		if f := engine.ForwardingOf(d); f != nil {
			writeForwarding(b, f)
		}
		if f := engine.FilterOf(d); f != nil {
			writeFilter(b, f)
		}
		for _, s := range engine.ServicesOf(d) {
			writeService(b, &s)
		}
		writeDiscovery(b, d)
		for _, s := range engine.DropsOf(d) {
			fmt.Fprintf(b, "%s\n", reasons("  dropped at "+s.Stage+": ", s.Dropped))
		}
		for _, c := range engine.AdviceOf(d) {
			fmt.Fprintf(b, "  %s: %s: %s\n", c.Severity, c.Text, c.Remedy)
		}
		for i := range d.Peers {
			writePeer(b, &d.Peers[i], o.keys, now)
			writePath(b, &d.Peers[i], now)
			if o.paths {
				writePaths(b, &d.Peers[i], now)
			}
		}
	}
}

// writeQueues prints the queues of the tunnel device and what they lack.
func writeQueues(b *strings.Builder, q *engine.QueuesInfo) {
	fmt.Fprintf(b, "  tun queues: %d", q.Got)
	if q.Got < q.Asked {
		fmt.Fprintf(b, " of %d asked for", q.Asked)
	}
	if q.Batched == q.Got {
		b.WriteString(", batched")
	} else {
		fmt.Fprintf(b, ", %d batched", q.Batched)
	}
	if q.Got > 1 {
		fmt.Fprintf(b, ", steered by %s", q.Steering)
	}
	if len(q.Reasons) > 0 {
		fmt.Fprintf(b, " (%s)", strings.Join(q.Reasons, "; "))
	}
	if q.Dropped > 0 {
		fmt.Fprintf(b, ", dropped %d", q.Dropped)
	}
	b.WriteByte('\n')
}

// writeSockets prints the UDP sockets of a family: one line, as they are alike as a
// rule, and how many of those asked for there are.
func writeSockets(b *strings.Builder, g *engine.SocketGroup) {
	var kinds []string
	count := make(map[string]int)
	for i := range g.Sockets {
		kind := socketText(&g.Sockets[i])
		if count[kind] == 0 {
			kinds = append(kinds, kind)
		}
		count[kind]++
	}
	for _, kind := range kinds {
		number := fmt.Sprint(count[kind])
		if len(g.Sockets) < g.Asked {
			number += fmt.Sprintf(" of %d asked for", g.Asked)
		}
		fmt.Fprintf(b, "  %s sockets: %s, %s\n", g.Network, number, kind)
	}
}

func socketText(s *engine.SocketInfo) string {
	onOff := map[bool]string{true: "on", false: "off"}
	text := fmt.Sprintf("%s, gso %s, gro %s", s.Address, onOff[s.GSO], onOff[s.GRO])
	if len(s.Reasons) > 0 {
		text += " (" + strings.Join(s.Reasons, "; ") + ")"
	}
	return text
}

func writePeer(b *strings.Builder, p *uapi.Peer, keys bool, now time.Time) {
	fmt.Fprintf(b, "\npeer: %s\n", config.Key(p.PublicKey))
	if name := engine.NameOf(p); name != "" {
		fmt.Fprintf(b, "  name: %s\n", name)
	}
	if p.PresharedKey != (uapi.Key{}) {
		fmt.Fprintf(b, "  preshared key: %s\n", hidden(p.PresharedKey, keys))
	}
	if p.Endpoint.IsValid() {
		fmt.Fprintf(b, "  endpoint: %s\n", p.Endpoint)
	}
	ips := "(none)"
	if len(p.AllowedIPs) > 0 {
		ips = join(p.AllowedIPs)
	}
	fmt.Fprintf(b, "  allowed ips: %s\n", ips)
	if !p.LastHandshake.IsZero() {
		fmt.Fprintf(b, "  latest handshake: %s\n", ago(now.Sub(p.LastHandshake)))
	}
	if p.RxBytes != 0 || p.TxBytes != 0 {
		fmt.Fprintf(b, "  transfer: %s received, %s sent\n", size(p.RxBytes), size(p.TxBytes))
	}
	if p.PersistentKeepalive != 0 {
		fmt.Fprintf(b, "  persistent keepalive: every %s\n", units(time.Duration(p.PersistentKeepalive)*time.Second))
	}
}

// writeForwarding prints what passes from peer to peer.
func writeForwarding(b *strings.Builder, f *engine.ForwardingInfo) {
	fmt.Fprintf(b, "  peer forwarding: %s", f.Mode)
	if f.Packets > 0 {
		fmt.Fprintf(b, ", %d packets, %s", f.Packets, size(f.Bytes))
	}
	fmt.Fprintf(b, "%s\n", reasons(", dropped ", f.Dropped))
}

// writeFilter prints the rules of the packet filter and what they matched.
func writeFilter(b *strings.Builder, f *engine.FilterInfo) {
	fmt.Fprintf(b, "  filter: %d flows of at most %d%s\n", f.Flows, f.MaxFlows, reasons(", denied ", f.Denied))
	for _, r := range f.Rules {
		fmt.Fprintf(b, "    %s: %d packets, %s\n", r.Text, r.Packets, size(r.Bytes))
	}
}

// writeService prints a proxy, a forward or the subnet router.
func writeService(b *strings.Builder, s *engine.ServiceInfo) {
	fmt.Fprintf(b, "  service: %s", s.Section)
	if s.Listen != "" {
		fmt.Fprintf(b, " on %s", s.Listen)
	}
	if s.Target != "" {
		fmt.Fprintf(b, " to %s", s.Target)
	}
	fmt.Fprintf(b, ", %d active of %d", s.Active, s.Accepted)
	if s.BytesIn+s.BytesOut > 0 {
		fmt.Fprintf(b, ", %s received, %s sent", size(s.BytesIn), size(s.BytesOut))
	}
	fmt.Fprintf(b, "%s\n", reasons(", failed ", s.Failures))
}

// reasons lists counters that are not zero, the largest first, behind what; "" if
// there are none.
func reasons(what string, counts map[string]uint64) string {
	names := slices.SortedFunc(maps.Keys(counts), func(x, y string) int {
		return cmp.Or(cmp.Compare(counts[y], counts[x]), cmp.Compare(x, y))
	})
	var total uint64
	for i, name := range names {
		total += counts[name]
		names[i] = fmt.Sprintf("%s %d", name, counts[name])
	}
	if total == 0 {
		return ""
	}
	return fmt.Sprintf("%s%d (%s)", what, total, strings.Join(names, ", "))
}

func hidden(k uapi.Key, show bool) string {
	if show {
		return config.Key(k).String()
	}
	return "(hidden)"
}

// ago says how long ago something was, to the second.
func ago(d time.Duration) string {
	switch {
	case d < -time.Second:
		return "in the future; the system clock was set back"
	case d < time.Second:
		return "now"
	}
	return units(d) + " ago"
}

// units writes a duration in full words, without zeros between.
func units(d time.Duration) string {
	var parts []string
	left := int64(d / time.Second)
	for _, u := range []struct {
		seconds int64
		name    string
	}{{365 * 24 * 3600, "year"}, {24 * 3600, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}} {
		n := left / u.seconds
		left %= u.seconds
		switch {
		case n == 1:
			parts = append(parts, "1 "+u.name)
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %ss", n, u.name))
		}
	}
	return strings.Join(parts, ", ")
}

// size writes a number of bytes in binary units.
func size(n uint64) string {
	const names = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/1024, 0
	for f >= 1024 && i < len(names)-1 {
		f, i = f/1024, i+1
	}
	return fmt.Sprintf("%.2f %ciB", f, names[i])
}
