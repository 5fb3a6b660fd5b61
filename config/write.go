// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"strings"
)

// WriteTo writes c as a file that [Parse] reads as the same Config, beside Name,
// Path, Warnings and the lines of peers. Comments of the file that c came from are
// lost. A Config that [Config.Validate] refuses is not written.
//
// The text contains the private keys.
func (c *Config) WriteTo(w io.Writer) (int64, error) {
	if err := c.Validate(); err != nil {
		return 0, err
	}
	t := c.text(true)
	n, err := w.Write(t.Bytes())
	return int64(n), err
}

// WriteWG writes the part of c that wg setconf and wg syncconf accept, as
// wg-quick strip does. A Config that [Config.Validate] refuses is not written.
//
// The text contains the private keys.
func (c *Config) WriteWG(w io.Writer) error {
	if err := c.Validate(); err != nil {
		return err
	}
	t := c.text(false)
	_, err := w.Write(t.Bytes())
	return err
}

// A text is a configuration file that is being written.
type text struct {
	bytes.Buffer
}

// line writes one key.
func (t *text) line(key string, value any) { fmt.Fprintf(t, "%s = %v\n", key, value) }

// text writes all of c, or only what wg knows. It does not check anything.
func (c *Config) text(all bool) *text {
	t := new(text)
	t.writeInterface(&c.Interface, all)
	for i := range c.Peers {
		t.writePeer(&c.Peers[i])
	}
	if all {
		t.writeRouter(&c.Router)
	}
	return t
}

func (t *text) writeInterface(i *Interface, all bool) {
	t.WriteString("[Interface]\n")
	if !i.PrivateKey.IsZero() {
		t.line("PrivateKey", i.PrivateKey)
	}
	if i.ListenPort != 0 {
		t.line("ListenPort", i.ListenPort)
	}
	if i.FwMark != 0 {
		t.line("FwMark", fmt.Sprintf("%#x", i.FwMark))
	}
	if !all {
		return
	}
	for _, a := range i.Addresses {
		t.line("Address", a)
	}
	for _, a := range i.DNS {
		t.line("DNS", a)
	}
	for _, domain := range i.DNSSearch {
		t.line("DNS", domain)
	}
	if i.MTU != 0 {
		t.line("MTU", i.MTU)
	}
	if i.Table != (Table{}) {
		t.line("Table", i.Table)
	}
	for _, hook := range i.PreUp {
		t.line("PreUp", hook)
	}
	for _, hook := range i.PostUp {
		t.line("PostUp", hook)
	}
	for _, hook := range i.PreDown {
		t.line("PreDown", hook)
	}
	for _, hook := range i.PostDown {
		t.line("PostDown", hook)
	}
	if i.SaveConfig {
		t.line("SaveConfig", true)
	}
}

func (t *text) writePeer(p *Peer) {
	t.WriteString("\n[Peer]\n")
	t.line("PublicKey", p.PublicKey)
	if !p.PresharedKey.IsZero() {
		t.line("PresharedKey", p.PresharedKey)
	}
	if len(p.AllowedIPs) > 0 {
		t.line("AllowedIPs", joinPrefixes(p.AllowedIPs))
	}
	if !p.Endpoint.IsZero() {
		t.line("Endpoint", p.Endpoint)
	}
	if p.PersistentKeepalive != 0 {
		t.line("PersistentKeepalive", p.PersistentKeepalive)
	}
}

// writeRouter writes [Router], or nothing when all of it is the default.
func (t *text) writeRouter(r *Router) {
	if *r == (Router{}) {
		return
	}
	t.WriteString("\n[Router]\n")
	if r.Mode != ModeTUN {
		t.line("Mode", r.Mode)
	}
	if r.Queues != 0 {
		t.line("Queues", r.Queues)
	}
	if r.GSO != SwitchUnset {
		t.line("GSO", r.GSO)
	}
	if r.GRO != SwitchUnset {
		t.line("GRO", r.GRO)
	}
	if r.ReceiveBuffer != 0 {
		t.line("ReceiveBuffer", formatSize(r.ReceiveBuffer))
	}
	if r.SendBuffer != 0 {
		t.line("SendBuffer", formatSize(r.SendBuffer))
	}
	if r.ControlSocket != "" {
		t.line("ControlSocket", r.ControlSocket)
	}
	if r.LogLevelSet {
		t.line("LogLevel", strings.ToLower(r.LogLevel.String()))
	}
}

func joinPrefixes(prefixes []netip.Prefix) string {
	parts := make([]string, len(prefixes))
	for i, p := range prefixes {
		parts[i] = p.String()
	}
	return strings.Join(parts, ", ")
}
