// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"encoding/json"

	"github.com/tunrouter/tunrouter/tunwrap/filter"
	"github.com/tunrouter/tunrouter/tunwrap/hub"
	"github.com/tunrouter/tunrouter/tunwrap/inner"
	"github.com/tunrouter/tunrouter/uapi"
)

// Extensions of WireGuard's configuration protocol: a line for forwarding, one for
// the filter and one for each of its rules, in their order. Each is short, as other
// programs that read lines have limits.
const (
	forwardingKey = "tunrouter_forwarding"
	filterKey     = "tunrouter_filter"
	filterRuleKey = "tunrouter_filter_rule"
)

// A ForwardingInfo describes what passes from peer to peer. It has a JSON form.
type ForwardingInfo struct {
	Mode    string `json:"mode"` // off, on or isolated
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
	// Dropped has those reasons that there were, with the packets of each.
	Dropped map[string]uint64 `json:"dropped,omitempty"`
}

// A FilterInfo describes the packet filter. It has a JSON form.
type FilterInfo struct {
	Flows    int `json:"flows"` // known now
	MaxFlows int `json:"maxFlows"`
	// Denied has those reasons that there were, with the packets of each.
	Denied map[string]uint64 `json:"denied,omitempty"`
	Rules  []FilterRuleInfo  `json:"rules"`
}

// A FilterRuleInfo is one rule: as it is written, where, and what it has matched,
// for Allow in both directions.
type FilterRuleInfo struct {
	Text    string `json:"text"`
	Line    int    `json:"line,omitempty"`
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// ForwardingOf returns what d, as [Engine.Status] or the control socket of a router
// gave it, says of packets between peers; nil when they are the host's affair.
func ForwardingOf(d *uapi.Device) *ForwardingInfo {
	var out *ForwardingInfo
	for _, kv := range d.Extra {
		var f ForwardingInfo
		if kv.Key == forwardingKey && json.Unmarshal([]byte(kv.Value), &f) == nil {
			out = &f
		}
	}
	return out
}

// FilterOf returns what d says of the packet filter; nil when there are no rules.
func FilterOf(d *uapi.Device) *FilterInfo {
	var out *FilterInfo
	for _, kv := range d.Extra {
		switch kv.Key {
		case filterKey:
			var f FilterInfo
			if json.Unmarshal([]byte(kv.Value), &f) == nil {
				out = &f
			}
		case filterRuleKey:
			var r FilterRuleInfo
			if out != nil && json.Unmarshal([]byte(kv.Value), &r) == nil {
				out.Rules = append(out.Rules, r)
			}
		}
	}
	return out
}

// forwardingLines returns the lines that ForwardingOf and FilterOf read.
func forwardingLines(h *hub.Stats, f *filter.Stats) ([]uapi.KeyValue, error) {
	var out []uapi.KeyValue
	add := func(key string, v any) error {
		kv, err := jsonLine(key, v)
		out = append(out, kv)
		return err
	}
	if h.Forwarding != hub.Off {
		info := ForwardingInfo{Mode: h.Forwarding.String(), Packets: h.Cut.Packets, Bytes: h.Cut.Bytes, Dropped: dropsOf(h)}
		if err := add(forwardingKey, &info); err != nil {
			return nil, err
		}
	}
	if len(f.Rules) == 0 {
		return out, nil
	}
	info := FilterInfo{Flows: f.Flows, MaxFlows: f.MaxFlows, Denied: make(map[string]uint64), Rules: []FilterRuleInfo{}}
	for reason, n := range f.Denied {
		if n > 0 {
			info.Denied[filter.Reason(reason).String()] = n
		}
	}
	if err := add(filterKey, &info); err != nil {
		return nil, err
	}
	for _, r := range f.Rules {
		rule := FilterRuleInfo(r)
		if err := add(filterRuleKey, &rule); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// dropsOf names the drops that there were. What the filter denied is its own affair.
func dropsOf(h *hub.Stats) map[string]uint64 {
	out := make(map[string]uint64)
	add := func(reason string, n uint64) {
		if n > 0 {
			out[reason] = n
		}
	}
	add("full", h.Dropped.Full)
	add("hop-limit", h.Dropped.HopLimit)
	add("too-big", h.Dropped.TooBig)
	add("loop", h.Dropped.Loop)
	add("source", h.Dropped.Source)
	add("isolated", h.Dropped.Isolated)
	add("closed", h.Dropped.Closed)
	for problem := inner.OK + 1; int(problem) < inner.Problems; problem++ {
		add(problem.String(), h.Malformed[problem])
	}
	return out
}
