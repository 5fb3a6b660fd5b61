// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"

	"github.com/tunrouter/tunrouter/config"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/netstack"
)

// A tunnel is the WireGuard device and the network on its inside.
type tunnel struct {
	device *device.Device
	net    *netstack.Net
}

// open brings a device up as the file has it.
func open(cfg *config.Config) (*tunnel, error) {
	var addresses []netip.Addr
	for _, p := range cfg.Interface.Addresses {
		addresses = append(addresses, p.Addr())
	}
	dev, inside, err := netstack.CreateNetTUN(addresses, cfg.Interface.DNS, cmp.Or(cfg.Interface.MTU, device.DefaultMTU))
	if err != nil {
		return nil, err
	}
	t := &tunnel{device.NewDevice(dev, conn.NewStdNetBind(), device.NewLogger(device.LogLevelError, "")), inside}
	err = t.device.IpcSet(settings(cfg))
	if err == nil {
		err = t.device.Up()
	}
	if err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *tunnel) close() { t.device.Close() }

// settings returns the file as the device wants it.
func settings(cfg *config.Config) string {
	var b strings.Builder
	fmt.Fprintf(&b, "private_key=%s\nlisten_port=%d\n", cfg.Interface.PrivateKey.Hex(), cfg.Interface.ListenPort)
	for _, p := range cfg.Peers {
		fmt.Fprintf(&b, "public_key=%s\npersistent_keepalive_interval=%d\n", p.PublicKey.Hex(), p.PersistentKeepalive)
		if !p.PresharedKey.IsZero() {
			fmt.Fprintf(&b, "preshared_key=%s\n", p.PresharedKey.Hex())
		}
		if endpoint := p.Endpoint.String(); endpoint != "" {
			fmt.Fprintf(&b, "endpoint=%s\n", endpoint)
		}
		for _, prefix := range p.AllowedIPs {
			fmt.Fprintf(&b, "allowed_ip=%s\n", prefix)
		}
	}
	return b.String()
}
