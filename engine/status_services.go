// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"encoding/json"

	"github.com/tunrouter/tunrouter/netstack/proxy"
	"github.com/tunrouter/tunrouter/uapi"
)

// serviceKey is the extension of WireGuard's configuration protocol with the proxies,
// forwards and the subnet router: the JSON form of one [ServiceInfo] for each.
const serviceKey = "tunrouter_service"

// A ServiceInfo describes one proxy, forward or the subnet router. It has a JSON form.
// Flows are connections, and datagrams between two addresses.
type ServiceInfo struct {
	Section  string `json:"section"`          // of the configuration, without brackets
	Listen   string `json:"listen,omitempty"` // where it listens
	Target   string `json:"target,omitempty"` // where its flows go, if that is fixed
	Active   int    `json:"active"`           // flows now
	Accepted uint64 `json:"accepted"`         // flows so far
	// Bytes of payload that went into the tunnel and came out of it.
	BytesOut uint64 `json:"bytesOut"`
	BytesIn  uint64 `json:"bytesIn"`
	// Failures counts flows and datagrams that came to nothing, by reason.
	Failures map[string]uint64 `json:"failures,omitempty"`
}

// ServicesOf returns what d, as [Engine.Status] or the control socket of a router gave
// it, says of proxies, forwards and the subnet router.
func ServicesOf(d *uapi.Device) []ServiceInfo {
	var out []ServiceInfo
	for _, kv := range d.Extra {
		var s ServiceInfo
		if kv.Key == serviceKey && json.Unmarshal([]byte(kv.Value), &s) == nil {
			out = append(out, s)
		}
	}
	return out
}

// serviceLines describes what runs.
func (s *services) serviceLines() (lines []uapi.KeyValue, err error) {
	s.each(func(r *runningService) {
		info := serviceInfo(r)
		line, lineErr := jsonLine(serviceKey, &info)
		if lineErr != nil {
			err = lineErr
			return
		}
		lines = append(lines, line)
	})
	return lines, err
}

func serviceInfo(r *runningService) ServiceInfo {
	st := r.Stats()
	info := ServiceInfo{
		Section: r.section, Listen: r.address(), Target: r.target,
		Active: st.Active, Accepted: st.Accepted, BytesOut: st.BytesOut, BytesIn: st.BytesIn,
		Failures: failures(&st),
	}
	if r.section == "Router" {
		info.Section = "SubnetRouter"
	}
	return info
}

// failures are the counters of what came to nothing that are not zero.
func failures(st *proxy.Stats) map[string]uint64 {
	all := map[string]uint64{
		"over a limit":        st.Refused,
		"target refused":      st.DialFailures.Refused,
		"target timeout":      st.DialFailures.Timeout,
		"target unreachable":  st.DialFailures.Unreachable,
		"name not found":      st.DialFailures.NotFound,
		"target failed":       st.DialFailures.Other,
		"reset":               st.Resets,
		"idle":                st.Idle,
		"wrong password":      st.AuthFailures,
		"bad request":         st.BadRequests,
		"request timeout":     st.Timeouts,
		"accept failed":       st.AcceptErrors,
		"forbidden":           st.Denied,
		"datagram malformed":  st.Drops.Malformed,
		"datagram fragmented": st.Drops.Fragment,
		"datagram foreign":    st.Drops.Foreign,
		"datagram no room":    st.Drops.Full,
		"datagram not sent":   st.Drops.Send,
		"datagram no name":    st.Drops.Resolve,
	}
	for name, n := range all {
		if n == 0 {
			delete(all, name)
		}
	}
	return all
}
