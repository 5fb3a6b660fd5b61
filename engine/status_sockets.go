// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"encoding/json"
	"net/netip"
	"strings"

	"github.com/tunrouter/tunrouter/peers"
	"github.com/tunrouter/tunrouter/uapi"
)

// socketsKey is the extension of WireGuard's configuration protocol with the UDP
// sockets of one address family: the JSON form of a [SocketGroup].
const socketsKey = "tunrouter_sockets"

// A SocketGroup describes the UDP sockets of one address family. It has a JSON
// form.
type SocketGroup struct {
	Network string `json:"network"` // udp4 or udp6
	// Asked is how many sockets there should be; there are fewer where the kernel
	// does not share ports or descriptors have run out.
	Asked   int          `json:"asked"`
	Sockets []SocketInfo `json:"sockets"`
}

// A SocketInfo describes one open UDP socket.
type SocketInfo struct {
	Address netip.AddrPort `json:"address"` // local
	GSO     bool           `json:"gso"`     // segmented messages are sent
	GRO     bool           `json:"gro"`     // segmented messages are received
	// Reasons says why something is missing: the two above, or the size of a
	// buffer.
	Reasons []string `json:"reasons,omitempty"`
}

// SocketGroups returns the UDP sockets that d, as [Engine.Status] or the control
// socket of a router gave it, describes. There are none while the router is down,
// and in what other programs answer.
func SocketGroups(d *uapi.Device) []SocketGroup {
	var out []SocketGroup
	for _, kv := range d.Extra {
		var g SocketGroup
		if kv.Key == socketsKey && json.Unmarshal([]byte(kv.Value), &g) == nil {
			out = append(out, g)
		}
	}
	return out
}

// socketLines returns the lines that SocketGroups reads.
func socketLines(s *peers.Stats) ([]uapi.KeyValue, error) {
	var out []uapi.KeyValue
	for _, group := range s.Groups {
		g := SocketGroup{Network: group.Network, Asked: group.Asked, Sockets: []SocketInfo{}}
		for _, sock := range s.Sockets {
			if sock.Network == g.Network {
				g.Sockets = append(g.Sockets, SocketInfo{Address: sock.Local, GSO: sock.GSO, GRO: sock.GRO, Reasons: sock.Reasons})
			}
		}
		kv, err := jsonLine(socketsKey, &g)
		if err != nil {
			return nil, err
		}
		out = append(out, kv)
	}
	return out, nil
}

// jsonLine returns a line with the JSON form of v. Other programs ignore a line that
// holds one "=" only; outside of a string JSON has none.
func jsonLine(key string, v any) (uapi.KeyValue, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return uapi.KeyValue{}, err
	}
	return uapi.KeyValue{Key: key, Value: strings.ReplaceAll(string(text), "=", `\u003d`)}, nil
}
