// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"time"

	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/peers/path"
	"github.com/tunrouter/tunrouter/uapi"
)

// A jsonPaths is what the status says of the paths of a peer. Times are in seconds
// since 1970, latencies in milliseconds.
type jsonPaths struct {
	Router   string     `json:"router"`          // yes, no or unknown
	Path     string     `json:"path,omitempty"`  // in use
	Also     string     `json:"also,omitempty"`  // in use beside it, while that is in doubt
	Why      string     `json:"why,omitempty"`   // why it was chosen
	Since    int64      `json:"since,omitempty"` // when
	Latency  float64    `json:"latency,omitempty"`
	Switches uint64     `json:"switches,omitempty"`
	All      []jsonPath `json:"all"`
}

type jsonPath struct {
	Path     string  `json:"path"` // direct ADDRESS:PORT or relay ADDRESS:PORT vni N
	Endpoint string  `json:"endpoint"`
	VNI      uint32  `json:"vni,omitempty"`
	Relay    string  `json:"relay,omitempty"` // its name
	From     string  `json:"from"`
	Trusted  bool    `json:"trusted"`
	Latency  float64 `json:"latency,omitempty"`
	Loss     float64 `json:"loss,omitempty"` // 0 to 1
	Width    int     `json:"width,omitempty"`
	Last     int64   `json:"last,omitempty"`
	// What went over it: WireGuard messages, by UDP payload.
	TransferRx uint64 `json:"transferRx,omitempty"`
	TransferTx uint64 `json:"transferTx,omitempty"`
	PacketsRx  uint64 `json:"packetsRx,omitempty"`
	PacketsTx  uint64 `json:"packetsTx,omitempty"`
}

// jsonPathsOf is nil for a plain WireGuard peer.
func jsonPathsOf(p *uapi.Peer) *jsonPaths {
	s := engine.PathOf(p)
	if s == nil {
		return nil
	}
	out := &jsonPaths{
		Router: s.Router, Path: jsonPathText(s.Choice.Primary), Also: jsonPathText(s.Choice.Also), Why: s.Choice.Why,
		Since: seconds(s.Since), Latency: inMillis(s.Latency), Switches: s.Switches, All: []jsonPath{},
	}
	for i := range s.Paths {
		c := &s.Paths[i]
		j := jsonPath{
			Path: jsonPathText(c.Path), Endpoint: c.Path.Addr.String(), VNI: c.Path.VNI.Value(), Relay: c.RelayName, From: c.Kind,
			Trusted: c.Trusted, Latency: inMillis(c.Latency), Loss: c.Loss, Width: c.Width, Last: seconds(c.Last),
		}
		if i < len(s.Traffic) {
			t := &s.Traffic[i]
			j.TransferRx, j.TransferTx, j.PacketsRx, j.PacketsTx = t.RxBytes, t.TxBytes, t.RxPackets, t.TxPackets
		}
		out.All = append(out.All, j)
	}
	return out
}

func jsonPathText(p path.Path) string {
	if !p.IsSet() {
		return ""
	}
	return describePath(p, "")
}

func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func inMillis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
