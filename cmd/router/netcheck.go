// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/peers/path"
)

func (a *app) netcheckCommand() *cobra.Command {
	var (
		dir    string
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "netcheck [NAME]",
		Short: "Show what a router knows of the network that it is in",
		Long: `Show at which addresses a running router can be reached as far as it knows: its own,
those that relays and peers see, what kind of NAT that means, and its relays. The
router is not made to ask anybody: it shows what it has learned.

NAME is the interface, or the path of a control socket; it may be left out when
one router is running.`,
		Example: `  router netcheck
  router netcheck wg0 --json`,
		Args: argCount(0, 1, "at most one NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			name, err := a.oneRouter(dir, args)
			if err != nil {
				return err
			}
			return a.netcheck(dir, name, asJSON)
		},
		ValidArgsFunction: completeRunning(&dir),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	socketDirFlag(cmd, &dir)
	return cmd
}

func (a *app) netcheck(dir, name string, asJSON bool) error {
	c, err := connect(dir, name, askTimeout)
	if err != nil {
		return err
	}
	defer c.Close()
	var r path.NetReport
	if err := askFor(c, "netcheck", &r); err != nil {
		return err
	}
	if asJSON {
		e := json.NewEncoder(a.out)
		e.SetIndent("", "\t")
		return e.Encode(jsonReportOf(&r))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "interface: %s\n", interfaceName(name))
	writeReport(&b, &r, time.Now())
	_, err = io.WriteString(a.out, b.String())
	return err
}

// writeReport prints a report in plain words.
func writeReport(b *strings.Builder, r *path.NetReport, now time.Time) {
	local := "none that others could reach"
	if len(r.Local) > 0 {
		local = joinAddrs(r.Local)
	}
	fmt.Fprintf(b, "  own addresses: %s\n", local)
	fmt.Fprintf(b, "  IPv4: %s\n", mapping(r.Mapping4))
	fmt.Fprintf(b, "  IPv6: %s\n", mapping(r.Mapping6))
	for i := range r.Observed {
		o := &r.Observed[i]
		who := "peer"
		if o.Relay {
			who = "relay"
		}
		fmt.Fprintf(b, "  seen as %s by %s %s, %s\n", o.Addr, who, shortKey(o.Observer), ago(now.Sub(o.At)))
	}
	if len(r.Relays) == 0 {
		b.WriteString("  relays: none in the configuration\n")
	}
	for i := range r.Relays {
		writeRelay(b, &r.Relays[i], now)
	}
}

// mapping says what a kind of NAT means.
func mapping(kind string) string {
	switch kind {
	case "none":
		return "no NAT: others see an address of this host"
	case "easy":
		return "a NAT that shows the same address to everybody; direct paths work with most peers"
	case "hard":
		return "a NAT that shows everybody another address; direct paths work with peers that have no such NAT, others need a relay"
	}
	return "not known: two others, relays or peers, have to say what they see"
}

// writeRelay prints one relay, and why it is not in use if it is not.
func writeRelay(b *strings.Builder, r *path.RelayStatus, now time.Time) {
	fmt.Fprintf(b, "  relay %s", shortKey(r.Key))
	at := ""
	if r.Addr.IsValid() {
		at = r.Addr.String()
	}
	if r.Name != "" {
		fmt.Fprintf(b, " %s", r.Name)
	}
	if at != "" && at != r.Name {
		fmt.Fprintf(b, " at %s", at)
	}
	if !r.Registered {
		why := r.Problem
		switch {
		case why != "":
		case len(r.Addrs) == 0:
			why = "its name is not resolved yet"
		default:
			why = "no answer"
		}
		fmt.Fprintf(b, ": not registered: %s", why)
		if !r.Last.IsZero() {
			fmt.Fprintf(b, ", last answer %s", ago(now.Sub(r.Last)))
		}
		b.WriteByte('\n')
		return
	}
	fmt.Fprintf(b, ": registered, %s, sessions: %d", millis(r.Latency), r.Sessions)
	if r.Problem != "" {
		fmt.Fprintf(b, ", %s", r.Problem)
	}
	b.WriteByte('\n')
}

func joinAddrs(addrs []netip.AddrPort) string {
	text := make([]string, len(addrs))
	for i, a := range addrs {
		text[i] = a.String()
	}
	return strings.Join(text, ", ")
}

// A jsonReport is a report with keys as text, times in seconds since 1970 and latencies
// in milliseconds.
type jsonReport struct {
	Local    []netip.AddrPort  `json:"local"`
	Mapping4 string            `json:"mapping4"` // none, easy, hard or unknown
	Mapping6 string            `json:"mapping6"`
	Observed []jsonObservation `json:"observed"`
	Relays   []jsonRelay       `json:"relays"`
}

type jsonObservation struct {
	Address netip.AddrPort `json:"address"`
	By      string         `json:"by"` // public key
	Relay   bool           `json:"relay"`
	At      int64          `json:"at"`
}

type jsonRelay struct {
	PublicKey  string           `json:"publicKey"`
	Name       string           `json:"name,omitempty"`
	Addresses  []netip.AddrPort `json:"addresses"`
	Endpoint   netip.AddrPort   `json:"endpoint,omitzero"` // in use
	Registered bool             `json:"registered"`
	Latency    float64          `json:"latency,omitempty"`
	Observed   netip.AddrPort   `json:"observed,omitzero"`
	Last       int64            `json:"last,omitempty"`
	Sessions   int              `json:"sessions"`
	Problem    string           `json:"problem,omitempty"`
}

func jsonReportOf(r *path.NetReport) *jsonReport {
	out := &jsonReport{
		Local: append([]netip.AddrPort{}, r.Local...), Mapping4: r.Mapping4, Mapping6: r.Mapping6, // [] rather than null
		Observed: []jsonObservation{}, Relays: []jsonRelay{},
	}
	for _, o := range r.Observed {
		out.Observed = append(out.Observed, jsonObservation{Address: o.Addr, By: config.Key(o.Observer).String(), Relay: o.Relay, At: seconds(o.At)})
	}
	for _, s := range r.Relays {
		out.Relays = append(out.Relays, jsonRelay{
			PublicKey: config.Key(s.Key).String(), Name: s.Name, Addresses: append([]netip.AddrPort{}, s.Addrs...), Endpoint: s.Addr,
			Registered: s.Registered, Latency: inMillis(s.Latency), Observed: s.Observed, Last: seconds(s.Last),
			Sessions: s.Sessions, Problem: s.Problem,
		})
	}
	return out
}
