// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package metrics_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/metrics"
)

// docsHead is what docs/METRICS.md says before the tables.
const docsHead = `# Metrics

What a router shows at ` + "`/metrics`" + `, in the text format of Prometheus, as
OpenMetrics or as protobuf. This file is made from the code; ` + "`go test ./metrics -update`" + `
writes it.

- All but ` + "`router_build_info`" + ` and those on demand have the label ` + "`device`" + `: the name of the tunnel
  interface.
- What the router does not have, or the kernel does not tell, is absent, not zero.
- Counters start at 0 with the router, and with the part that counts: those of a
  socket when it is opened, those of a peer when it is added.
- Samples for each peer (marked *peer* below) are limited by ` + "`[Router] MetricsPeers`" + `:
  ` + "`all`, `off`" + `, or a number for the peers that moved the most bytes.
- The ` + "`wireguard_`" + ` names are those of
  [wireguard_exporter](https://github.com/mdlayher/wireguard_exporter). Those with
  the label ` + "`interface`" + ` are on demand, by ` + "`[Router] MetricsNames = mindflavor`" + `:
  the names of [prometheus_wireguard_exporter](https://github.com/MindFlavor/prometheus_wireguard_exporter)
  for dashboards that have been made for it.
- Histograms of packets count events (calls, messages, batches) by how many packets
  each had. Their sum is the packets that went on.
- Names that begin with ` + "`go_` and `process_`" + ` are those of the Prometheus client for Go.

A dashboard for Grafana is [dist/grafana/router.json](../dist/grafana/router.json), rules
for alerts [dist/prometheus/alerts.yml](../dist/prometheus/alerts.yml).
`

// chapters are the tables, by prefix of names; the first that fits takes a name.
var chapters = []struct{ title, prefix string }{
	{"Names of WireGuard exporters", "wireguard_"},
	{"Drops", "router_dropped_"},
	{"Peers", "router_peer"},
	{"Paths", "router_path_"},
	{"Path discovery", "router_discovery_"},
	{"Handshakes", "router_handshake"},
	{"UDP sockets", "router_socket"},
	{"Past the kernel (AF_XDP)", "router_xdp_"},
	{"Kernel's view of the tunnel interface", "router_tun_link_"},
	{"Tunnel device", "router_tun_"},
	{"Peer to peer", "router_hub_"},
	{"Packet filter", "router_filter_"},
	{"Relay server", "router_relay_"},
	{"Netstack", "router_netstack_"},
	{"Proxies and forwards", "router_service_"},
	{"The router", "router_"},
}

func TestDocs(t *testing.T) {
	tables := make([]strings.Builder, len(chapters))
	for _, f := range metrics.Families() {
		i := slices.IndexFunc(chapters, func(c struct{ title, prefix string }) bool { return strings.HasPrefix(f.Name, c.prefix) })
		if i < 0 {
			t.Fatalf("%s has no chapter", f.Name)
		}
		kind := f.Kind
		if f.PerPeer {
			kind += ", *peer*"
		}
		labels := slices.DeleteFunc(f.Labels, func(l string) bool { return l == "device" })
		for i, l := range labels {
			labels[i] = "`" + l + "`"
		}
		tables[i].WriteString("| `" + f.Name + "` | " + kind + " | " + strings.Join(labels, ", ") + " | " + f.Help + " |\n")
	}
	var text strings.Builder
	text.WriteString(docsHead)
	for i, c := range chapters {
		if tables[i].Len() == 0 {
			t.Errorf("chapter %q is empty", c.title)
		}
		text.WriteString("\n## " + c.title + "\n\n| name | type | labels | what |\n| --- | --- | --- | --- |\n" + tables[i].String())
	}
	text.WriteString(stages)
	golden(t, "../docs/METRICS.md", text.String())
}

// stages explains the values of a label.
const stages = `
## Stages of router_dropped_packets_total

A packet that is dropped is counted at one stage. The stages are all there is to add
up: other counters of drops (of a socket, a peer, the interface) say where, and are in
them already. What two routers have dropped between a sender and a receiver is the sum
of both, and ` + "`router_wireguard_pending_packets`" + ` of both.

| stage | where |
| --- | --- |
| ` + "`tun_link`" + ` | by the kernel: the queue of the tunnel interface was full; a superpacket counts as one |
| ` + "`tun_read`" + ` | read from the tunnel device |
| ` + "`netstack_out`" + ` | out of the stack, into the tunnel |
| ` + "`hub`" + ` | without a peer (no_peer), on the way from peer to peer, or malformed |
| ` + "`filter`" + ` | denied by the packet filter |
| ` + "`transmit`" + ` | encrypted, with no address of the peer known, or no socket open |
| ` + "`socket_transmit`" + ` | not taken by the kernel, for good, for peers; held: lost while they waited for others to leave with; device: the network device was busy (AF_XDP) |
| ` + "`socket_receive`" + ` | by the kernel for want of room or a wrong UDP checksum (overflow; what GRO had merged counts as one), or unreadable; also what came past the kernel and had no room, or is no datagram for this router |
| ` + "`receive`" + ` | received, and no message of WireGuard or of path discovery |
| ` + "`handshake`" + ` | handshake messages that are not authentic |
| ` + "`decrypt`" + ` | authentic, and refused: a replay, a source that is not the peer's, neither IPv4 nor IPv6 |
| ` + "`tun_write`" + ` | not taken by the tunnel device |
| ` + "`netstack_in`, `netstack_udp`, `netstack_echo`" + ` | out of the tunnel, into the stack |
| ` + "`relay_receive`" + ` | as socket_receive, of the relay server |
| ` + "`relay`" + ` | received by the relay server, or not taken by the kernel (send) |
`

// All stages are explained, and no others.
func TestDocsStages(t *testing.T) {
	of := func(re, text string) []string {
		var out []string
		for _, m := range regexp.MustCompile(re).FindAllStringSubmatch(text, -1) {
			out = append(out, m[1])
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	_, table, _ := strings.Cut(stages, "| --- | --- |")
	want := of("`([a-z_]+)`", table)
	if got := of(`,stage="([a-z_]+)"`, text(t, sample(t))); !slices.Equal(got, want) {
		t.Errorf("stages are %v, explained are %v", got, want)
	}
}
