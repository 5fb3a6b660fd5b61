// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xsk_test

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/cilium/ebpf/link"
	"github.com/tunrouter/tunrouter/batching/xdp/xsk"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// Each packet that an absent reader loses is counted once: what was received and
// what was dropped is what was sent, to the packet, and of the dropped ones it is
// known which were too long. The counters stay when the socket is closed.
func TestDropsCountedOnce(t *testing.T) {
	for name, flags := range map[string]link.XDPAttachFlags{"native": link.XDPDriverMode, "generic": link.XDPGenericMode} {
		t.Run(name, func(t *testing.T) {
			testutil.LeakCheck(t)
			const rxFrames = 40
			l := newLab(t, flags, &xsk.Options{FrameSize: 4096}, &xsk.Options{RxFrames: rxFrames})
			deadline(t, l.tx, l.rx)
			sent, got, tooLong, noFrame := 0, 0, 0, 0
			last := -1
			for round := range 4 {
				room := rxFrames // the reader has read everything
				for range 10 + 5*round {
					bufs := make([][]byte, 12) // no queue of the kernel drops that few
					for i := range bufs {
						size := 60 + sent%1700
						switch {
						case sent%7 == 3:
							size = l.rx.MaxReceive() + 1 + sent%1000
							tooLong++
						case room > 0:
							room--
						default:
							noFrame++
						}
						bufs[i] = packet(sent, size)
						sent++
					}
					write(t, l.tx, bufs...)
					testutil.Eventually(t, 30*time.Second, "all packets received or dropped", func() error {
						if st := l.rx.Stats(); got+st.Frames.RxReceived+int(st.Dropped()) != sent {
							return fmt.Errorf("%d sent, %d + %+v, %d dropped", sent, got, st, st.Dropped())
						}
						return nil
					})
				}
				frames := make([]xsk.Frame, rxFrames+1)
				n, err := l.rx.BatchRead(frames)
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range frames[:n] {
					seq := int(binary.BigEndian.Uint32(f.Data[14:]))
					if seq <= last || seq%7 == 3 || len(f.Data) != 60+seq%1700 {
						t.Fatalf("packet %d of %d bytes after %d", seq, len(f.Data), last)
					}
					last = seq
				}
				if err := l.rx.Release(frames[:n]); err != nil {
					t.Fatal(err)
				}
				got += n
			}
			st := l.rx.Stats()
			if got+int(st.Dropped()) != sent || int(st.Dropped()) != tooLong+noFrame || int(st.RxTooLong) != tooLong {
				t.Errorf("sent %d, received %d, %d too long, %d without a frame; counted: %d dropped, %+v", sent, got, tooLong, noFrame, st.Dropped(), st)
			}
			if int(st.RxPackets) != got || st.RxBad != 0 || l.tx.Stats().TxDropped != 0 {
				t.Errorf("receiver %+v, sender %+v", st, l.tx.Stats())
			}
			if err := l.rx.Close(); err != nil {
				t.Fatal(err)
			}
			after := l.rx.Stats()
			if after.Dropped() != st.Dropped() || after.RxTooLong != st.RxTooLong || after.RxPackets != st.RxPackets {
				t.Errorf("after Close %+v, before %+v", after, st)
			}
		})
	}
}
