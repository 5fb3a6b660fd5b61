// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package path

import (
	"time"

	"github.com/tunrouter/tunrouter/peers/disco"
)

// Receive handles a frame, which came over from: from a relay itself if control
// is set. It is one that [Agent.Knows] the tag of, else it is dropped. frame is
// borrowed for the call.
func (a *Agent) Receive(now time.Time, from Path, control bool, frame []byte) {
	at := a.advance(now)
	if why := a.receive(at, from.unmapped(), control, frame); why != dropNone {
		a.stats.dropped[why]++
	}
}

func (a *Agent) receive(at moment, from Path, control bool, frame []byte) drop {
	if a.off || !disco.IsFrame(frame) || !from.IsSet() {
		return dropMalformed
	}
	o, ok := a.tags.find(disco.FrameTag(frame))
	if !ok || o.gone {
		return dropTag
	}
	if o.peer != nil {
		if why := o.peer.mayCome(from, control); why != dropNone {
			return why
		}
	} else if !o.relay.mayCome(from, control) {
		return dropPlace
	}
	body, err := o.pair.Open(a.opened[:0], frame)
	if err != nil {
		return dropAuth
	}
	a.opened = body
	a.tags.heard(o, at)
	t, err := disco.BodyType(body)
	if err != nil {
		return dropMalformed
	}
	if o.peer != nil {
		return o.peer.received(at, from, t, body)
	}
	return o.relay.received(at, from, control, t, body)
}

// mayCome reports whether a frame of the peer can have come over this path.
func (p *peer) mayCome(from Path, control bool) drop {
	switch {
	case control:
		return dropPlace
	case from.VNI.IsSet():
		if s := (*p.a.carried.Load())[from]; s == nil || s.peer != p {
			return dropPlace
		}
	case p.a.isRelay(from.Addr), p.a.ours.isLocal(from.Addr):
		return dropPlace
	}
	return dropNone
}
