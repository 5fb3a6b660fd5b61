// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package traffic

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
)

// A Frame is what a datagram between routers and relays is.
type Frame struct {
	At time.Time // when it was seen
	Datagram
	Kind FrameKind
	// VNI and Control are those of the Geneve header, if there is one.
	VNI     uint32
	Control bool
}

// A FrameKind says what the payload of a datagram is.
type FrameKind string

// Kinds of frames, see docs/PROTOCOL.md, section 2. The numbers are written out here,
// as the program under test must not say what is right.
const (
	FrameHandshake    FrameKind = "handshake"     // WireGuard, types 1 to 3
	FrameData         FrameKind = "data"          // WireGuard, type 4, with a packet
	FrameKeepalive    FrameKind = "keepalive"     // WireGuard, type 4, empty
	FrameDisco        FrameKind = "disco"         // the protocol of routers
	FrameRelayed      FrameKind = "relayed"       // WireGuard in Geneve
	FrameRelayedDisco FrameKind = "relayed disco" // the protocol of routers in Geneve
	FrameUnknown      FrameKind = "unknown"
)

const (
	discoMagic         = "\xf3\x74\x72\x64"
	geneveHeader       = 8
	geneveControl      = 0x80
	protocolDisco      = 0x7a11
	protocolWireGuard  = 0x7a12
	wireguardKeepalive = 32
)

// classify says what a datagram is.
func classify(d Datagram) Frame {
	f, b := Frame{Datagram: d, Kind: FrameUnknown}, d.Payload
	switch {
	case len(b) < 4:
	case string(b[:4]) == discoMagic:
		f.Kind = FrameDisco
	case b[0] >= 1 && b[0] <= 3 && b[1]|b[2]|b[3] == 0:
		f.Kind = FrameHandshake
	case b[0] == 4 && b[1]|b[2]|b[3] == 0:
		f.Kind = FrameData
		if len(b) == wireguardKeepalive {
			f.Kind = FrameKeepalive
		}
	case len(b) > geneveHeader && b[0] == 0:
		f.VNI, f.Control = binary.BigEndian.Uint32(b[4:])>>8, b[1]&geneveControl != 0
		switch binary.BigEndian.Uint16(b[2:]) {
		case protocolDisco:
			f.Kind = FrameRelayedDisco
		case protocolWireGuard:
			f.Kind = FrameRelayed
		}
	}
	return f
}

// HasPacket reports whether the frame is of WireGuard and carries a packet of the
// tunnel, over a relay or not.
func (f Frame) HasPacket() bool {
	switch f.Kind {
	case FrameData:
		return true
	case FrameRelayed:
		return f.Payload[geneveHeader] == 4 && len(f.Payload) > geneveHeader+wireguardKeepalive
	}
	return false
}

// A Tap tells what every datagram is that passes an interface, as soon as it does.
type Tap struct {
	sniffer *Sniffer

	mu     sync.Mutex
	read   int // of what the sniffer has seen
	frames []Frame
	stop   chan struct{}
	done   chan struct{}
}

// StartTap starts on an interface of the host.
func StartTap(h *lab.Host, ifname string) (*Tap, error) {
	s, err := Sniff(h, ifname)
	if err != nil {
		return nil, err
	}
	t := &Tap{sniffer: s, stop: make(chan struct{}), done: make(chan struct{})}
	go t.run()
	return t, nil
}

// tapInterval is how exact the times are.
const tapInterval = 5 * time.Millisecond

func (t *Tap) run() {
	defer close(t.done)
	ticker := time.NewTicker(tapInterval)
	defer ticker.Stop()
	for {
		select {
		case <-t.stop:
			return
		case now := <-ticker.C:
			t.take(now)
		}
	}
}

// take classifies what was seen since it was last called.
func (t *Tap) take(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sniffer.mu.Lock()
	fresh := t.sniffer.seen[t.read:]
	t.read = len(t.sniffer.seen)
	t.sniffer.mu.Unlock()
	for _, d := range fresh {
		f := classify(d)
		f.At = now
		t.frames = append(t.frames, f)
	}
}

// Frames returns those so far that match, in order.
func (t *Tap) Frames(match func(f Frame) bool) []Frame {
	t.take(time.Now())
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []Frame
	for _, f := range t.frames {
		if match(f) {
			out = append(out, f)
		}
	}
	return out
}

// Stop ends the tap and returns all frames.
func (t *Tap) Stop() ([]Frame, error) {
	close(t.stop)
	<-t.done
	_, err := t.sniffer.Stop()
	return t.Frames(func(Frame) bool { return true }), err
}

// Count returns how many frames there are of each kind.
func Count(frames []Frame) map[FrameKind]int {
	kinds := make(map[FrameKind]int)
	for _, f := range frames {
		kinds[f.Kind]++
	}
	return kinds
}
