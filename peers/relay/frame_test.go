// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package relay

import (
	"bytes"
	"testing"

	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/peers/disco"
)

// withHeader returns b behind a Geneve header.
func withHeader(tb testing.TB, vni geneve.VNI, protocol uint16, control bool, b []byte) []byte {
	out := make([]byte, geneve.HeaderLen, geneve.HeaderLen+len(b))
	if _, err := (geneve.Header{VNI: vni, Protocol: protocol, Control: control}).Put(out); err != nil {
		tb.Fatal(err)
	}
	return append(out, b...)
}

func TestParse(t *testing.T) {
	w := newWorld(t, 1, TableOptions{})
	vni, err := geneve.MakeVNI(0x010203)
	if err != nil {
		t.Fatal(err)
	}
	discoFrame := w.seal(w.people[0], disco.RelayMessage{Type: disco.TypeRegister})
	data := withHeader(t, vni, geneve.ProtocolWireGuard, false, []byte{4, 0, 0, 0})
	changed := func(i int, v byte) []byte {
		b := bytes.Clone(data)
		b[i] = v
		return b
	}
	for name, tt := range map[string]struct {
		in   []byte
		kind frameKind
		drop Drop
	}{
		"empty":                    {nil, frameBad, DropTooShort},
		"sentinel":                 {[]byte{0}, frameBad, DropTooShort},
		"7 bytes":                  {data[:7], frameBad, DropTooShort},
		"header alone":             {data[:8], frameData, DropNone},
		"wireguard":                {data, frameData, DropNone},
		"disco between clients":    {withHeader(t, vni, geneve.ProtocolDisco, false, discoFrame), frameData, DropNone},
		"disco":                    {discoFrame, frameControl, DropNone},
		"disco behind a header":    {withHeader(t, vni, geneve.ProtocolDisco, true, discoFrame), frameControl, DropNone},
		"control without a frame":  {withHeader(t, vni, geneve.ProtocolDisco, true, discoFrame[1:]), frameBad, DropControl},
		"control with wireguard":   {withHeader(t, vni, geneve.ProtocolWireGuard, true, discoFrame), frameBad, DropControl},
		"version":                  {changed(0, 0x40), frameBad, DropGeneve},
		"options":                  {changed(0, 0x01), frameBad, DropGeneve},
		"critical":                 {changed(1, 0x40), frameBad, DropGeneve},
		"reserved":                 {changed(1, 0x01), frameBad, DropGeneve},
		"reserved after the VNI":   {changed(7, 1), frameBad, DropGeneve},
		"ethernet":                 {changed(2, 0x65), frameBad, DropProtocol},
		"initiation":               {append([]byte{1, 0, 0, 0}, make([]byte, 144)...), frameBad, DropWireGuard},
		"transport":                {append([]byte{4, 0, 0, 0}, make([]byte, 28)...), frameBad, DropWireGuard},
		"disco cut off":            {discoFrame[:60], frameBad, DropGeneve},
		"looks like a fifth type":  {append([]byte{5, 0, 0, 0}, make([]byte, 28)...), frameBad, DropGeneve},
		"all zero":                 {make([]byte, 100), frameBad, DropProtocol},
		"disco of the wrong magic": {append([]byte{0xf3, 0x74, 0x72, 0x65}, discoFrame[4:]...), frameBad, DropGeneve},
	} {
		f := parse(tt.in)
		if f.kind != tt.kind || f.drop != tt.drop {
			t.Errorf("%s: kind %d drop %v, want %d %v", name, f.kind, f.drop, tt.kind, tt.drop)
		}
		switch {
		case f.kind == frameData && (!bytes.Equal(f.whole, tt.in) || f.vni != vni):
			t.Errorf("%s: vni %v, %d bytes", name, f.vni, len(f.whole))
		case f.kind == frameControl && (!bytes.Equal(f.disco, discoFrame) || f.vni.IsSet() != (len(tt.in) > len(discoFrame))):
			t.Errorf("%s: vni %v, %d bytes", name, f.vni, len(f.disco))
		}
	}
}

func TestDropNames(t *testing.T) {
	seen := make(map[string]bool)
	for d := range numDrops {
		if n := d.String(); n == "" || n == "unknown" || seen[n] {
			t.Errorf("drop %d has the name %q", d, n)
		}
		seen[d.String()] = true
	}
	if n := numDrops.String(); n != "unknown" {
		t.Errorf("no drop has the name %q", n)
	}
	w := newWorld(t, 0, TableOptions{})
	if n := len(w.table.Stats(w.now).Dropped); n != int(numDrops)-1 {
		t.Errorf("%d reasons, want %d", n, numDrops-1)
	}
}
