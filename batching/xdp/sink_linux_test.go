// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp_test

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/tunrouter/tunrouter/batching"
)

// A sink is a place where streams arrive.
type sink struct {
	reader
	find func(p *batching.Packet) *stream
}

// drink reads until the sink's deadline.
func (k *sink) drink() error {
	slab, pkts := make([]byte, 1<<18), make([]batching.Packet, batching.MaxBatch)
	for {
		n, err := k.ReadBatch(slab, pkts)
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		for i := range pkts[:n] {
			p := &pkts[i]
			s := k.find(p)
			if s == nil {
				return fmt.Errorf("a packet from %v, which nobody sends", p.Remote)
			}
			if err := s.take(slab[p.Offset : p.Offset+p.Size]); err != nil {
				return err
			}
		}
	}
}
