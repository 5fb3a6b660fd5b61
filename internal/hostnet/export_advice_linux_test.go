// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import (
	"encoding/binary"
	"maps"
	"slices"
)

// CollectFacts returns what Advise looks at.
func CollectFacts(o *AdviceOptions) *Facts {
	f := collectFacts(o)
	return &Facts{
		Kernel: f.kernel.String(), ReceiveBuffer: f.receiveBuffer, SendBuffer: f.sendBuffer,
		NIC: f.nic, Active: names(f.features.active), Changeable: names(f.features.changeable),
		Forwarding4: f.forwarding4, Forwarding6: f.forwarding6,
		TxQueueLen: f.txQueueLen, RPFilterNIC: f.rpFilterNIC, SrcValidMark: f.srcValidMark,
	}
}

// DecodeNICFeatures is decodeNICFeatures for little-endian messages.
func DecodeNICFeatures(b []byte) (active, changeable []string) {
	f := decodeNICFeatures(b, binary.LittleEndian)
	return names(f.active), names(f.changeable)
}

func names(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }

var GrantedBuffers = grantedBuffers
