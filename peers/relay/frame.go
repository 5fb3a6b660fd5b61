// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"encoding/binary"

	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/peers/disco"
)

// A frameKind is what a datagram is for a relay.
type frameKind uint8

const (
	frameBad     frameKind = iota
	frameControl           // for the relay itself
	frameData              // to forward
)

// A frame is a datagram as [parse] understood it.
type frame struct {
	kind  frameKind
	drop  Drop       // of a bad one
	vni   geneve.VNI // none without a Geneve header
	disco []byte     // of control: the disco frame
	whole []byte     // of data: all of it, with the Geneve header
}

func bad(d Drop) frame { return frame{drop: d} }

// parse says what the datagram b is. The result refers to b.
func parse(b []byte) frame {
	if len(b) < geneve.HeaderLen {
		return bad(DropTooShort)
	}
	if disco.IsFrame(b) {
		return frame{kind: frameControl, disco: b}
	}
	if first := binary.LittleEndian.Uint32(b); first >= 1 && first <= 4 {
		return bad(DropWireGuard)
	}
	var h geneve.Header
	if h.Decode(b) != nil {
		return bad(DropGeneve)
	}
	if h.Protocol != geneve.ProtocolDisco && h.Protocol != geneve.ProtocolWireGuard {
		return bad(DropProtocol)
	}
	if !h.Control {
		return frame{kind: frameData, vni: h.VNI, whole: b}
	}
	inner := b[geneve.HeaderLen:]
	if h.Protocol != geneve.ProtocolDisco || !disco.IsFrame(inner) {
		return bad(DropControl)
	}
	return frame{kind: frameControl, vni: h.VNI, disco: inner}
}
