// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap

// A writeResult is what became of the packets of one call of WriteTo.
type writeResult struct {
	packets, bytes int // taken by the device
	single         int // of these, those that went alone
	merged         [kinds]mergeResult
	empty, errors  int
	dropped        [writeDrops]int
	causes         [writeDrops]error // the first of each; nil for dropClosed
	closed         bool              // the device was deleted
}

type mergeResult struct{ packets, superpackets, fallbacks int }

func (r *writeResult) took(packets, bytes int) {
	r.packets += packets
	r.bytes += bytes
}

// refuse notes packets of one system call that failed.
func (r *writeResult) refuse(reason writeDrop, packets int, err error) {
	r.errors++
	r.dropped[reason] += packets
	if r.causes[reason] == nil {
		r.causes[reason] = err
	}
}

// drop notes packets that were not given to the device at all.
func (r *writeResult) drop(reason writeDrop, bufs [][]byte, offset int) {
	for _, b := range bufs {
		if len(b) > offset {
			r.dropped[reason]++
		} else {
			r.empty++
		}
	}
}
