// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// WriteTo writes c as a file that [Parse] reads as the same Config, beside Name,
// Path, Warnings and the lines of peers. Comments of the file that c came from are
// lost, but for names of peers, and what came from the environment or from the file of WGConfig is in the text.
// A Config that [Config.Validate] refuses is not written.
//
// The text contains the private keys and the passwords.
func (c *Config) WriteTo(w io.Writer) (int64, error) {
	if err := c.Validate(); err != nil {
		return 0, err
	}
	n, err := w.Write(c.document(true).Bytes())
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
	_, err := w.Write(c.document(false).Bytes())
	return err
}

// A document is a configuration file that is being written.
type document struct {
	bytes.Buffer
}

// line writes one key.
func (d *document) line(key string, value any) { fmt.Fprintf(d, "%s = %v\n", key, value) }

// document writes all of c, or only what wg knows. It does not check anything.
func (c *Config) document(all bool) *document {
	d := new(document)
	d.writeInterface(&c.Interface, all)
	services := c.Proxy.services()
	for i := range c.Peers {
		d.writePeer(&c.Peers[i], all)
		if all && len(c.Peers) == 1 && len(c.Peers[i].AllowedIPs) == 0 && len(services) > 0 {
			d.line("AllowedIPs", "") // without the key it would get everything
		}
	}
	if all {
		d.writeRouter(&c.Router, c.impliedMode())
		d.writeFilter(&c.Filter)
		for i := range c.Relays {
			d.writeRelay(&c.Relays[i])
		}
		d.writeRelayServer(c.RelayServer)
		for i := range services {
			d.writeService(&services[i])
		}
	}
	return d
}

func (d *document) writeInterface(i *Interface, all bool) {
	d.WriteString("[Interface]\n")
	if !i.PrivateKey.IsZero() {
		d.line("PrivateKey", i.PrivateKey)
	}
	if i.ListenPort != 0 {
		d.line("ListenPort", i.ListenPort)
	}
	if i.FwMark != 0 {
		d.line("FwMark", fmt.Sprintf("%#x", i.FwMark))
	}
	if !all {
		return
	}
	for _, a := range i.Addresses {
		d.line("Address", a)
	}
	for _, a := range i.DNS {
		d.line("DNS", a)
	}
	for _, domain := range i.DNSSearch {
		d.line("DNS", domain)
	}
	if i.MTU != 0 {
		d.line("MTU", i.MTU)
	}
	if i.Table != (Table{}) {
		d.line("Table", i.Table)
	}
	for _, hook := range i.PreUp {
		d.line("PreUp", hook)
	}
	for _, hook := range i.PostUp {
		d.line("PostUp", hook)
	}
	for _, hook := range i.PreDown {
		d.line("PreDown", hook)
	}
	for _, hook := range i.PostDown {
		d.line("PostDown", hook)
	}
	if i.SaveConfig {
		d.line("SaveConfig", true)
	}
	if len(i.CheckAlive) > 0 {
		d.line("CheckAlive", joinList(i.CheckAlive))
	}
	if i.CheckAliveInterval != 0 {
		d.line("CheckAliveInterval", i.CheckAliveInterval)
	}
}

func (d *document) writePeer(p *Peer, all bool) {
	d.WriteString("\n[Peer]\n")
	if all && p.Name != "" {
		d.line("# Name", p.Name)
	}
	d.line("PublicKey", p.PublicKey)
	if !p.PresharedKey.IsZero() {
		d.line("PresharedKey", p.PresharedKey)
	}
	if len(p.AllowedIPs) > 0 {
		d.line("AllowedIPs", joinList(p.AllowedIPs))
	}
	if !p.Endpoint.IsZero() {
		d.line("Endpoint", p.Endpoint)
	}
	if p.PersistentKeepalive != 0 {
		d.line("PersistentKeepalive", p.PersistentKeepalive)
	}
}

// writeRouter writes [Router], or nothing when all of it is the default, implied being
// that of the mode.
func (d *document) writeRouter(r *Router, implied Mode) {
	const header = "\n[Router]\n"
	begin := d.Len()
	d.WriteString(header)
	defer func() {
		if d.Len() == begin+len(header) {
			d.Truncate(begin)
		}
	}()
	if r.ModeSet || r.Mode != implied {
		d.line("Mode", r.Mode)
	}
	if r.Queues != 0 {
		d.line("Queues", r.Queues)
	}
	if r.TxQueueLength != 0 {
		d.line("TxQueueLength", r.TxQueueLength)
	}
	if r.PeerForwarding != ForwardingOff {
		d.line("PeerForwarding", r.PeerForwarding)
	}
	if r.SubnetRouter.On() {
		d.line("SubnetRouter", r.SubnetRouter)
	}
	if r.SubnetRouterPerPeer != 0 {
		d.line("SubnetRouterPerPeer", r.SubnetRouterPerPeer)
	}
	if r.TCPRecovery != RecoverySACK {
		d.line("TCPRecovery", r.TCPRecovery)
	}
	if r.TCPCongestion != CongestionCubic {
		d.line("TCPCongestion", r.TCPCongestion)
	}
	if r.Discovery != SwitchUnset {
		d.line("Discovery", r.Discovery)
	}
	d.writeSockets(r)
	if r.ControlSocket != "" {
		d.line("ControlSocket", r.ControlSocket)
	}
	d.writeMetrics(&r.Metrics)
	d.writeLog(r)
}

// writeSockets writes the keys about the UDP sockets that are not at their default.
func (d *document) writeSockets(r *Router) {
	if r.Sockets != 0 {
		d.line("Sockets", r.Sockets)
	}
	if r.GSO != SwitchUnset {
		d.line("GSO", r.GSO)
	}
	if r.GRO != SwitchUnset {
		d.line("GRO", r.GRO)
	}
	if r.GSOSegments != 0 {
		d.line("GSOSegments", r.GSOSegments)
	}
	if r.GSOBytes != 0 {
		d.line("GSOBytes", formatSize(r.GSOBytes))
	}
	if r.GSOSentinel != SwitchUnset {
		d.line("GSOSentinel", r.GSOSentinel)
	}
	if r.GROSlot != 0 {
		d.line("GROSlot", formatSize(r.GROSlot))
	}
	if r.FlushTimeout != 0 {
		d.line("FlushTimeout", formatDuration(r.FlushTimeout))
	}
	if r.ReceiveBuffer != 0 {
		d.line("ReceiveBuffer", formatSize(r.ReceiveBuffer))
	}
	if r.SendBuffer != 0 {
		d.line("SendBuffer", formatSize(r.SendBuffer))
	}
	d.writeXDP(r.XDP)
}

// writeFilter writes [Filter], or nothing when it is empty.
func (d *document) writeFilter(f *Filter) {
	if len(f.Names)+len(f.Rules) == 0 {
		return
	}
	d.WriteString("\n[Filter]\n")
	for _, n := range f.Names {
		keys := make([]string, len(n.Keys))
		for i, k := range n.Keys {
			keys[i] = k.String()
		}
		d.line("Peers", n.Name+" "+strings.Join(keys, ", "))
	}
	for i := range f.Rules {
		d.line(f.Rules[i].key(), f.Rules[i])
	}
}

func joinList[T fmt.Stringer](list []T) string {
	parts := make([]string, len(list))
	for i, v := range list {
		parts[i] = v.String()
	}
	return strings.Join(parts, ", ")
}
