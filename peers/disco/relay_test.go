// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package disco_test

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	"github.com/tunrouter/tunrouter/geneve"
	"github.com/tunrouter/tunrouter/peers/disco"
)

// full is a message with every field at a value of its own.
func full(typ disco.MessageType) disco.RelayMessage {
	return disco.RelayMessage{
		Type: typ, TxID: txid, Cookie: private(0x20), Key: private(0x60),
		Addr: address("192.0.2.1:51820"), VNI: 0x010203, Generation: 0x0102030405060708,
		Status: disco.StatusLimit, Seconds: 0x5a5b,
	}
}

func TestRelayMessage(t *testing.T) {
	const (
		cookie = "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
		key    = "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f"
		addr   = "00000000000000000000ffffc0000201ca6c"
	)
	for typ := disco.TypeRegister; typ <= disco.TypeUnknown; typ++ {
		t.Run(typ.String(), func(t *testing.T) {
			want := full(typ)
			body := appendBody(t, &want)
			if b := append([]byte{byte(typ)}, unhex(t, "00"+txidHex+cookie+key+addr+"00010203 0102030405060708 03 5a5b 00")...); !bytes.Equal(body, b) {
				t.Fatalf("got % x, want % x", body, b)
			}
			if len(body) != 112 || disco.RelayBody != 112 {
				t.Fatalf("got %d bytes, RelayBody %d, want 112", len(body), disco.RelayBody)
			}
			var m disco.RelayMessage
			if err := m.Decode(body); err != nil || m != want {
				t.Errorf("Decode: got %+v, %v, want %+v", m, err, want)
			}
			for n := range body {
				m := full(typ)
				if err := m.Decode(body[:n]); !errors.Is(err, disco.ErrShort) || m != (disco.RelayMessage{}) {
					t.Fatalf("%d bytes: got %+v, %v, want zero, ErrShort", n, m, err)
				}
			}
			// Flags, the last byte and padding do not matter.
			body[1], body[111] = 0xff, 0xff
			if err := m.Decode(append(body, 1, 2, 3)); err != nil || m != want {
				t.Errorf("flags and padding: got %+v, %v, want %+v", m, err, want)
			}
		})
	}
}

// TestRelayMessageLimits goes to and beyond the last value of each field.
func TestRelayMessageLimits(t *testing.T) {
	for typ := disco.TypeRegister; typ <= disco.TypeUnknown; typ++ {
		var none error
		if typ == disco.TypeRegistered || typ == disco.TypeBound {
			none = disco.ErrValue
		}
		for _, tt := range []struct {
			name string
			set  func(m *disco.RelayMessage)
			want error
		}{
			{"largest values", func(m *disco.RelayMessage) {
				m.VNI, m.Generation, m.Seconds = geneve.MaxVNI, 1<<64-1, 1<<16-1
				m.Addr = address("[fdff:ffff::ffff]:65535")
			}, nil},
			{"zeros", func(m *disco.RelayMessage) {
				*m = disco.RelayMessage{Type: m.Type, Addr: m.Addr}
			}, nil},
			{"no address", func(m *disco.RelayMessage) { m.Addr = netip.AddrPort{} }, none},
			{"no port", func(m *disco.RelayMessage) { m.Addr = address("192.0.2.1:0") }, disco.ErrValue},
			{"unspecified IPv4", func(m *disco.RelayMessage) { m.Addr = address("0.0.0.0:0") }, disco.ErrValue},
			{"multicast", func(m *disco.RelayMessage) { m.Addr = address("[ff02::1]:5") }, disco.ErrValue},
			{"VNI of 25 bits", func(m *disco.RelayMessage) { m.VNI = geneve.MaxVNI + 1 }, disco.ErrValue},
			{"unknown status", func(m *disco.RelayMessage) { m.Status = disco.StatusLimit + 1 }, disco.ErrValue},
		} {
			t.Run(typ.String()+"/"+tt.name, func(t *testing.T) {
				in := full(typ)
				tt.set(&in)
				want := in
				if tt.want != nil {
					want = disco.RelayMessage{}
				}
				m := full(typ)
				if err := m.Decode(appendBody(t, &in)); !errors.Is(err, tt.want) || m != want {
					t.Errorf("got %+v, %v, want %+v, %v", m, err, want, tt.want)
				}
			})
		}
	}
}

func TestStatusString(t *testing.T) {
	for i, want := range []string{"done", "not_registered", "not_allowed", "limit", "status(4)"} {
		if got := disco.Status(i).String(); got != want {
			t.Errorf("Status %d: got %q, want %q", i, got, want)
		}
	}
}
