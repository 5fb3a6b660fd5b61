// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers

import (
	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/peers/disco"
	"github.com/tunrouter/tunrouter/peers/path"
)

// unwrap looks at a datagram that is no WireGuard message, for the reason why. It
// returns what is in a frame that a relay forwarded, and the pair that it belongs
// to, if that may be a WireGuard message. Everything else is taken care of when it
// returns: a message of path discovery has gone its way (dropNone), or there is a
// reason why it is dropped.
func (rx *receiver) unwrap(p *batching.Packet, data []byte, why dropReason) ([]byte, geneve.VNI, dropReason) {
	if disco.IsFrame(data) {
		return nil, 0, rx.discover(p, 0, false, data)
	}
	// WireGuard's messages begin with 1 to 4, a Geneve header of ours with 0.
	if data[0] != 0 || len(data) < geneve.HeaderLen || why != dropUnknownType {
		return nil, 0, why
	}
	var h geneve.Header
	if h.Decode(data) != nil {
		return nil, 0, dropGeneve
	}
	inner := data[geneve.HeaderLen:]
	switch {
	case h.Protocol == geneve.ProtocolDisco && disco.IsFrame(inner):
		return nil, 0, rx.discover(p, h.VNI, h.Control, inner)
	case h.Protocol != geneve.ProtocolWireGuard || h.Control:
		return nil, 0, dropGeneve
	case !rx.carries(path.Path{Addr: p.Remote, VNI: h.VNI}):
		return nil, 0, dropVNI
	}
	return inner, h.VNI, dropNone
}

// carries reports whether frames may come over this pair on a relay. Frames of a
// pair come one after another.
func (rx *receiver) carries(at path.Path) bool {
	if rx.carried == at {
		return true
	}
	a := rx.bind.paths.agent.Load()
	if a == nil || !a.Carries(at) {
		return false
	}
	rx.carried = at
	return true
}

// discover hands a message of path discovery on, if it may be of somebody known.
func (rx *receiver) discover(p *batching.Packet, vni geneve.VNI, control bool, data []byte) dropReason {
	a := rx.bind.paths.agent.Load()
	if a == nil || !a.Knows(disco.FrameTag(data)) {
		return dropDiscoTag
	}
	if vni.IsSet() && !control && !a.Carries(path.Path{Addr: p.Remote, VNI: vni}) {
		return dropVNI
	}
	return rx.bind.paths.arrived(rx.remotes.find(p, vni), control, data)
}
