// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp

import (
	"net"
	"time"

	"github.com/tunrouter/tunrouter/batching/xdp/xsk"
)

func (f *fake) Alloc(frames []xsk.Frame) (n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return 0, net.ErrClosed
	}
	for ; n < len(frames); n++ {
		i, ok := f.tx.take()
		if !ok {
			break
		}
		f.tx.lent[i] = true
		frames[n] = xsk.Frame{Data: f.tx.frames[i]}
	}
	return n, nil
}

func (f *fake) Free(frames []xsk.Frame) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range frames {
		n, ok := f.tx.back(&frames[i])
		if !ok {
			f.tb.Errorf("freed frame %d, which is not borrowed", n)
			return xsk.ErrFrame
		}
		f.tx.free = append(f.tx.free, n)
	}
	f.notify()
	return nil
}

func (f *fake) Transmit(frames []xsk.Frame) (n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return 0, net.ErrClosed
	}
	take := len(frames)
	if f.transmit != nil {
		take, err = f.transmit(take)
	}
	for i := range frames[:take] {
		at, ok := f.tx.back(&frames[i])
		if !ok {
			f.tb.Errorf("sent frame %d, which is not borrowed", at)
			return n, xsk.ErrFrame
		}
		if !f.quiet {
			f.sent = append(f.sent, append([]byte(nil), frames[i].Data...))
		}
		if f.keep {
			f.sending = append(f.sending, at)
		} else {
			f.tx.free = append(f.tx.free, at)
		}
		n++
	}
	f.stats.TxPackets += uint64(n)
	return n, err
}

// complete makes n frames free that were being sent.
func (f *fake) complete(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tx.free = append(f.tx.free, f.sending[:n]...)
	f.sending = f.sending[n:]
	f.notify()
}

func (f *fake) WaitWrite() error {
	return f.wait(func() (bool, time.Time, error) { return len(f.tx.free) > 0, f.writeBy, nil })
}
