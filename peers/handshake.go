// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers

// maxInitiations bounds what a peer remembers of unverified initiations. An
// authenticated one is answered by the goroutine that verified it, microseconds
// after it was noted, so a few per handshake worker are enough; a flood
// overwrites only its own kind.
const maxInitiations = 16

// initiations remembers where handshake initiations came from until the device
// proves one of them genuine by answering it. Entries are never trusted by
// themselves. Guarded by the mutex of its [Endpoint].
type initiations struct {
	ring [maxInitiations]struct {
		sender uint32
		from   *remote
	}
	next int
}

func (in *initiations) note(sender uint32, from *remote) {
	for i := range in.ring {
		if e := &in.ring[i]; e.from != nil && e.sender == sender && e.from.same(from) {
			return
		}
	}
	e := &in.ring[in.next%maxInitiations]
	e.sender, e.from = sender, from
	in.next = (in.next + 1) % maxInitiations
}

// take removes and returns the remotes that sent an initiation with that sender
// index.
func (in *initiations) take(sender uint32) []*remote {
	var out []*remote
	for i := range in.ring {
		if e := &in.ring[i]; e.from != nil && e.sender == sender {
			out = append(out, e.from)
			e.from = nil
		}
	}
	return out
}
