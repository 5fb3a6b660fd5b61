// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"encoding/json"

	"github.com/tunrouter/tunrouter/peers/path"
	"github.com/tunrouter/tunrouter/peers/relay"
	"github.com/tunrouter/tunrouter/uapi"
)

// Extensions of WireGuard's configuration protocol, in JSON: what path discovery and
// the relay of the router have counted.
const (
	discoveryKey = "tunrouter_discovery"
	relayKey     = "tunrouter_relay"
)

// A RelayInfo says what the relay of a router does. It has a JSON form.
type RelayInfo struct {
	relay.TableStats
	// Frames and Bytes were forwarded: UDP payloads, with the Geneve header.
	Frames uint64 `json:"frames"`
	Bytes  uint64 `json:"bytes"`
}

// DiscoveryOf returns what path discovery of a device has counted, which [Engine.Status]
// or the control socket of a router gave; nil while it is off.
func DiscoveryOf(d *uapi.Device) *path.Stats { return extraOf[path.Stats](d, discoveryKey) }

// RelayOf returns what the relay of a device does; nil if it has none.
func RelayOf(d *uapi.Device) *RelayInfo { return extraOf[RelayInfo](d, relayKey) }

func extraOf[T any](d *uapi.Device, key string) *T {
	for _, kv := range d.Extra {
		v := new(T)
		if kv.Key == key && json.Unmarshal([]byte(kv.Value), v) == nil {
			return v
		}
	}
	return nil
}

// extrasOf is extraOf for lines of which there may be several.
func extrasOf[T any](d *uapi.Device, key string) []T {
	var out []T
	for _, kv := range d.Extra {
		var v T
		if kv.Key == key && json.Unmarshal([]byte(kv.Value), &v) == nil {
			out = append(out, v)
		}
	}
	return out
}

// relayLines returns the lines that DiscoveryOf and RelayOf read.
func (e *Engine) relayLines() (lines []uapi.KeyValue, err error) {
	if s, ok := e.bind.PathStats(); ok {
		line, err := jsonLine(discoveryKey, &s)
		if err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	if s := e.serving.stats(); s != nil {
		line, err := jsonLine(relayKey, relayInfo(s))
		if err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	return lines, nil
}
