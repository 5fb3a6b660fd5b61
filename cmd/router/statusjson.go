// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"io"
	"net/netip"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/peers/path"
	"github.com/tunrouter/tunrouter/uapi"
)

// A jsonDevice has the shape of contrib/json/wg-json in wireguard-tools: the
// same names, and nothing for what is zero. Sockets, XDP, queues, forwarding
// and filter are what wg does not have.
type jsonDevice struct {
	PrivateKey string               `json:"privateKey,omitempty"`
	PublicKey  string               `json:"publicKey,omitempty"`
	ListenPort uint16               `json:"listenPort,omitempty"`
	FwMark     uint32               `json:"fwmark,omitempty"`
	Sockets    []engine.SocketGroup `json:"sockets,omitempty"`

	XDP        *engine.XDPInfo        `json:"xdp,omitempty"`
	Queues     *engine.QueuesInfo     `json:"queues,omitempty"`
	Forwarding *engine.ForwardingInfo `json:"forwarding,omitempty"`
	Filter     *engine.FilterInfo     `json:"filter,omitempty"`
	Services   []engine.ServiceInfo   `json:"services,omitempty"` // proxies, forwards, subnet router
	Discovery  *path.Stats            `json:"discovery,omitempty"`
	Relay      *engine.RelayInfo      `json:"relayServer,omitempty"`
	Advice     []engine.Advice        `json:"advice,omitempty"` // about the host
	// Drops are packets by stage and reason, none of them counted twice.
	Drops map[string]map[string]uint64 `json:"drops,omitempty"`

	Peers map[string]jsonPeer `json:"peers"` // by public key
}

type jsonPeer struct {
	Name                string         `json:"name,omitempty"`
	PresharedKey        string         `json:"presharedKey,omitempty"`
	Endpoint            string         `json:"endpoint,omitempty"`
	LatestHandshake     int64          `json:"latestHandshake,omitempty"` // seconds since 1970
	TransferRx          uint64         `json:"transferRx,omitempty"`      // bytes
	TransferTx          uint64         `json:"transferTx,omitempty"`
	PersistentKeepalive uint16         `json:"persistentKeepalive,omitempty"` // seconds
	AllowedIPs          []netip.Prefix `json:"allowedIps"`
	Paths               *jsonPaths     `json:"paths,omitempty"` // of a router
}

// writeJSON prints devices by name.
func writeJSON(w io.Writer, devices map[string]*uapi.Device, keys bool) error {
	out := make(map[string]jsonDevice, len(devices))
	for name, d := range devices {
		out[name] = jsonDeviceOf(d, keys)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "\t")
	return e.Encode(out)
}

// describeDevice is what a router shows of itself over HTTP: the status as JSON.
func describeDevice(name string, d *uapi.Device) any {
	return map[string]jsonDevice{name: jsonDeviceOf(d, false)}
}

func jsonDeviceOf(d *uapi.Device, keys bool) jsonDevice {
	jd := jsonDevice{
		PublicKey: publicKey(d), ListenPort: d.ListenPort, FwMark: d.FwMark,
		Sockets:    engine.SocketGroups(d),
		XDP:        engine.XDPOf(d),
		Queues:     engine.QueuesOf(d),
		Forwarding: engine.ForwardingOf(d),
		Filter:     engine.FilterOf(d),
		Services:   engine.ServicesOf(d),
		Discovery:  engine.DiscoveryOf(d),
		Relay:      engine.RelayOf(d),
		Advice:     engine.AdviceOf(d),
		Peers:      make(map[string]jsonPeer, len(d.Peers)),
	}
	for _, s := range engine.DropsOf(d) {
		if jd.Drops == nil {
			jd.Drops = make(map[string]map[string]uint64)
		}
		jd.Drops[s.Stage] = s.Dropped
	}
	if keys {
		jd.PrivateKey = keyText(d.PrivateKey)
	}
	for _, p := range d.Peers {
		jd.Peers[config.Key(p.PublicKey).String()] = jsonOf(&p, keys)
	}
	return jd
}

func jsonOf(p *uapi.Peer, keys bool) jsonPeer {
	jp := jsonPeer{
		Name:       engine.NameOf(p),
		TransferRx: p.RxBytes, TransferTx: p.TxBytes, PersistentKeepalive: p.PersistentKeepalive,
		AllowedIPs: append([]netip.Prefix{}, p.AllowedIPs...), // [] rather than null
		Paths:      jsonPathsOf(p),
	}
	if keys {
		jp.PresharedKey = keyText(p.PresharedKey)
	}
	if p.Endpoint.IsValid() {
		jp.Endpoint = p.Endpoint.String()
	}
	if !p.LastHandshake.IsZero() {
		jp.LatestHandshake = p.LastHandshake.Unix()
	}
	return jp
}

// keyText is a key as text, "" for none.
func keyText(k uapi.Key) string {
	if k == (uapi.Key{}) {
		return ""
	}
	return config.Key(k).String()
}
