// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// DeviceOptions describe a WireGuard interface.
type DeviceOptions struct {
	Name       string // "" = wg0
	PrivateKey Key    // zero = a new one
	ListenPort uint16 // 0 = 51820
	FwMark     uint32
	MTU        int      // 0 = 1420
	Addresses  []string // with prefix length
	DNS        []string // in files
	Peers      []Peer
	Quiet      bool     // no debug log
	Env        []string // for the program, beside LOG_LEVEL
}

// A Peer is a peer of a WireGuard interface.
type Peer struct {
	PublicKey, PresharedKey Key
	Endpoint                netip.AddrPort // zero = none
	AllowedIPs              []string
	Keepalive               int // seconds
}

// A Device is a running WireGuard interface.
type Device struct {
	Host       *Host
	Name       string
	PrivateKey Key
	Process    *Process
}

// StartDevice runs the implementation in the foreground, configures it through
// its control socket and brings the interface up with its addresses and with
// routes to the AllowedIPs of the peers. A router with sections gets a file with
// the same instead. It ends with the test.
func StartDevice(h *Host, im Implementation, o DeviceOptions) *Device {
	h.t.Helper()
	o.setDefaults()
	if im.Sections != "" {
		return startFile(h, im, o)
	}
	d := &Device{Host: h, Name: o.Name, PrivateKey: o.PrivateKey}
	level := "debug"
	if o.Quiet {
		level = "error"
	}
	d.Process = h.Start(Command{
		Path: im.Path, Args: []string{"-f", o.Name},
		Env: append([]string{"LOG_LEVEL=" + level}, o.Env...),
	})
	d.WaitReady()

	d.Set(fmt.Sprintf("private_key=%s\nlisten_port=%d\nfwmark=%d\nreplace_peers=true\n", o.PrivateKey.Hex(), o.ListenPort, o.FwMark))
	for _, p := range o.Peers {
		d.Set(p.set())
	}
	h.SetMTU(o.Name, o.MTU)
	for _, a := range o.Addresses {
		h.AddAddress(o.Name, a)
	}
	h.SetUp(o.Name)
	for _, p := range o.Peers {
		for _, prefix := range p.AllowedIPs {
			h.ensureRoute(prefix, o.Name)
		}
	}
	return d
}

func (o *DeviceOptions) setDefaults() {
	if o.Name == "" {
		o.Name = "wg0"
	}
	if o.PrivateKey == (Key{}) {
		o.PrivateKey = NewKey()
	}
	if o.ListenPort == 0 {
		o.ListenPort = Port
	}
	if o.MTU == 0 {
		o.MTU = 1420
	}
}

// ensureRoute adds a route unless the addresses of the interface have made it.
func (h *Host) ensureRoute(prefix, ifname string) {
	h.t.Helper()
	p := netip.MustParsePrefix(prefix)
	out := h.Output("ip", "-o", "route", "show", "dev", ifname, "match", p.String())
	if p.Addr().Is6() {
		out = h.Output("ip", "-6", "-o", "route", "show", "dev", ifname, "match", p.String())
	}
	if out == "" {
		h.AddRoute(p.String(), "", ifname, 0)
	}
}

// WaitReady waits until the control socket answers and the interface is there.
func (d *Device) WaitReady() {
	d.Host.t.Helper()
	Wait(d.Host.t, Patience, d.Name+" on "+d.Host.Name, func() error {
		if d.Process != nil && !d.Process.Running() {
			d.Host.t.Fatalf("host %s: the program ended: %s", d.Host.Name, d.Process.Output())
		}
		if _, err := uapi(d.Socket(), "get=1\n\n"); err != nil {
			return err
		}
		if !d.Host.HasLink(d.Name) {
			return errors.New("no interface")
		}
		return nil
	})
}

// Socket returns the path under which this process sees the control socket.
func (d *Device) Socket() string { return d.Host.Path(SocketPath(d.Name)) }

// SocketPath returns the path of an interface's control socket in its host.
func SocketPath(ifname string) string {
	// By its real name: /var/run is an absolute link on some systems, which
	// would lead out of the host.
	run, err := filepath.EvalSymlinks("/var/run")
	if err != nil {
		run = "/var/run"
	}
	return filepath.Join(run, "wireguard", ifname+".sock")
}

// PublicKey returns the public key of the interface.
func (d *Device) PublicKey() Key { return d.PrivateKey.Public() }

// Set sends a set request: lines of key=value.
func (d *Device) Set(lines string) {
	d.Host.t.Helper()
	answer, err := uapi(d.Socket(), "set=1\n"+lines+"\n")
	if err != nil || answer.errno != 0 {
		d.Host.t.Fatalf("host %s: %s: set %q: errno %d, %v", d.Host.Name, d.Name, lines, answer.errno, err)
	}
}

// SetErrno sends a set request and returns the errno it is answered with.
func (d *Device) SetErrno(lines string) int {
	d.Host.t.Helper()
	answer, err := uapi(d.Socket(), "set=1\n"+lines+"\n")
	if err != nil {
		d.Host.t.Fatalf("host %s: %s: set %q: %v", d.Host.Name, d.Name, lines, err)
	}
	return answer.errno
}

// SetPeer adds or changes a peer.
func (d *Device) SetPeer(p Peer) {
	d.Host.t.Helper()
	d.Set(p.set())
}

func (p Peer) set() string {
	s := "public_key=" + p.PublicKey.Hex() + "\n"
	if p.PresharedKey != (Key{}) {
		s += "preshared_key=" + p.PresharedKey.Hex() + "\n"
	}
	if p.Endpoint.IsValid() {
		s += "endpoint=" + p.Endpoint.String() + "\n"
	}
	s += fmt.Sprintf("persistent_keepalive_interval=%d\nreplace_allowed_ips=true\n", p.Keepalive)
	for _, a := range p.AllowedIPs {
		s += "allowed_ip=" + netip.MustParsePrefix(a).Masked().String() + "\n"
	}
	return s
}

// Status is what the control socket says about a device.
type Status struct {
	ListenPort uint16
	FwMark     uint32
	Peers      map[Key]PeerStatus // by public key
	Extra      map[string]string  // keys of the device that are not WireGuard's
}

// PeerStatus is what the control socket says about a peer.
type PeerStatus struct {
	PresharedKey Key
	Endpoint     netip.AddrPort
	Handshake    time.Time // zero = never
	Tx, Rx       int64
	AllowedIPs   []string
	Extra        map[string]string
}

// Status asks the control socket.
func (d *Device) Status() Status {
	d.Host.t.Helper()
	answer, err := uapi(d.Socket(), "get=1\n\n")
	if err != nil || answer.errno != 0 {
		d.Host.t.Fatalf("host %s: %s: get: errno %d, %v", d.Host.Name, d.Name, answer.errno, err)
	}
	s, err := answer.status()
	if err != nil {
		d.Host.t.Fatalf("host %s: %s: get: %v", d.Host.Name, d.Name, err)
	}
	return s
}

// Peer returns what the control socket says about one peer.
func (d *Device) Peer(public Key) PeerStatus {
	d.Host.t.Helper()
	p, ok := d.Status().Peers[public]
	if !ok {
		d.Host.t.Fatalf("host %s: %s: no peer %s", d.Host.Name, d.Name, public)
	}
	return p
}

// DeleteSocket removes the control socket's file.
func (d *Device) DeleteSocket() {
	d.Host.t.Helper()
	if err := os.Remove(d.Socket()); err != nil {
		d.Host.t.Fatalf("host %s: %v", d.Host.Name, err)
	}
}
