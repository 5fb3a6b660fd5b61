// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"net/netip"
	"strconv"
	"strings"
)

// Metrics is where counters and the status page are served, and to whom.
type Metrics struct {
	// Listen is an address of this host and a port, or unix: and the absolute path of a
	// socket; empty is nowhere.
	Listen string
	// Token is what clients have to present, TokenFile the absolute path of the file that
	// holds it; at most one of them is set.
	Token     Secret
	TokenFile string
	// Peers is how many peers have counters of their own, the busiest ones, 1 to
	// 1,000,000; 0 is the default, all, and [MetricsPeersOff] none.
	Peers int
	// MindFlavor says that the counters of peers are shown under the names of
	// github.com/MindFlavor/prometheus_wireguard_exporter as well.
	MindFlavor bool
}

// MetricsPeersOff is the value of [Metrics.Peers] for no peer.
const MetricsPeersOff = -1

const (
	// mindFlavor is the value of MetricsNames for the names of that exporter.
	mindFlavor = "mindflavor"

	unixPrefix = "unix:"
	// minToken is how short a token may be: 16 random letters cannot be guessed.
	minToken = 16
	maxToken = 1024
)

// metricsKeys are the keys of [Router] about metrics.
func metricsKeys() []key {
	return []key{
		{name: "Metrics", set: setMetrics, spaced: true},
		{name: "MetricsToken", set: setMetricsToken, spaced: true, secret: true},
		{name: "MetricsPeers", set: setMetricsPeers, spaced: true},
		{name: "MetricsNames", set: setMetricsNames, spaced: true},
	}
}

func setMetrics(e *entry) {
	const hint = "write off, ADDRESS:PORT, for example 127.0.0.1:9586, or unix:/PATH"
	listen := &e.cfg.Router.Metrics.Listen
	if sameName(e.value, "off") {
		*listen = ""
		return
	}
	if path, ok := strings.CutPrefix(e.value, unixPrefix); ok {
		switch {
		case !strings.HasPrefix(path, "/"):
			e.wrong(hint, "%s is not an absolute path", show(path))
		case len(path) > maxSocketPath:
			e.wrong("write a shorter one", "path is %d bytes long, a socket takes %d", len(path), maxSocketPath)
		default:
			*listen = e.value
		}
		return
	}
	bind, ok := e.hostPort(compact(e.value), 1, hint)
	switch {
	case !ok:
		return
	case bind.Host == "":
		e.wrong(hint, "no address before the port")
		return
	case sameName(bind.Host, localhost):
		bind.Host = localhost
	case !bind.literal():
		e.wrong(hint, "%s is not an address of this host", show(bind.Host))
		return
	}
	*listen = bind.String()
}

// setMetricsToken repeats nothing of the value.
func setMetricsToken(e *entry) {
	m := &e.cfg.Router.Metrics
	m.Token, m.TokenFile = "", ""
	if strings.HasPrefix(e.value, "/") {
		m.TokenFile = e.value
		return
	}
	// RFC 6750, 2.1: what fits into an Authorization header.
	odd := strings.ContainsFunc(e.value, func(r rune) bool {
		return !isLetter(r) && (r < '0' || r > '9') && !strings.ContainsRune("-._~+/=", r)
	})
	if odd || len(e.value) < minToken || len(e.value) > maxToken {
		e.wrong("write at least 16 letters and digits, for example what router genpsk prints, or the /PATH of a file with it", "not a token")
		return
	}
	m.Token = Secret(e.value)
}

func setMetricsPeers(e *entry) {
	peers := &e.cfg.Router.Metrics.Peers
	switch {
	case sameName(e.value, "all"):
		*peers = 0
	case sameName(e.value, "off"):
		*peers = MetricsPeersOff
	default:
		if n, ok := e.number(1, 1_000_000, "a number of peers", "write all, off or a number from 1 to 1000000"); ok {
			*peers = int(n)
		}
	}
}

func setMetricsNames(e *entry) {
	if n, ok := e.choice("router", mindFlavor); ok {
		e.cfg.Router.Metrics.MindFlavor = n == 1
	}
}

// finishMetrics refuses to show everybody what the router does.
func (p *parser) finishMetrics() {
	addr, err := netip.ParseAddrPort(p.cfg.Router.Metrics.Listen)
	if err == nil && !addr.Addr().IsLoopback() && p.routerGiven["MetricsToken"] == 0 {
		p.problem(p.routerGiven["Metrics"], "Metrics", "write MetricsToken = TOKEN below it, or listen on 127.0.0.1", "others than programs of this host could read it without a token")
	}
}

// writeMetrics writes the keys about metrics that are not at their default.
func (d *document) writeMetrics(m *Metrics) {
	if m.Listen != "" {
		d.line("Metrics", m.Listen)
	}
	if m.Token != "" {
		d.line("MetricsToken", string(m.Token))
	}
	if m.TokenFile != "" {
		d.line("MetricsToken", m.TokenFile)
	}
	switch m.Peers {
	case 0:
	case MetricsPeersOff:
		d.line("MetricsPeers", "off")
	default:
		d.line("MetricsPeers", strconv.Itoa(m.Peers))
	}
	if m.MindFlavor {
		d.line("MetricsNames", mindFlavor)
	}
}
