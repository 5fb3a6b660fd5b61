// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package metrics_test

import (
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/metrics"
)

// A source is a router that stands still.
type source struct{ s *metrics.Snapshot }

func (s source) Snapshot() *metrics.Snapshot { return s.s }

// sample is a router that has everything: each number is another one, each list has
// two elements.
func sample(t testing.TB) *metrics.Snapshot {
	s := new(metrics.Snapshot)
	f := filler{t: t}
	f.fill(reflect.ValueOf(s).Elem(), "")
	s.Device = "wg0"
	s.Peers[0].Endpoint = netip.MustParseAddrPort("192.0.2.1:51820")
	s.Peers[1].Endpoint = netip.MustParseAddrPort("[2001:db8::1]:51820")
	s.Peers[0].AllowedIPs = []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("fd00::/64")}
	s.Peers[1].AllowedIPs = []netip.Prefix{netip.MustParsePrefix("10.0.0.2/32"), netip.MustParsePrefix("0.0.0.0/0")}
	s.Peers[0].Path.Kind, s.Peers[0].Path.Family, s.Peers[0].Path.Relay = "direct", "ipv4", ""
	s.Peers[1].Path.Kind, s.Peers[1].Path.Family, s.Peers[1].Path.Relay = "relay", "ipv6", "relay.example:3478"
	s.Sockets[0].Use, s.Sockets[1].Use = metrics.UsePeers, metrics.UseRelay
	for i := range s.Hub.Lanes {
		s.Hub.Lanes[i].PublicKey = s.Peers[i].PublicKey
	}
	return s
}

// A filler fills structs with numbers that are all different, and with names of the
// place where they are.
type filler struct {
	t testing.TB
	n int64
}

func (f *filler) fill(v reflect.Value, at string) {
	f.n++
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(1700000000+f.n, 0)))
		return
	case time.Duration:
		v.Set(reflect.ValueOf(time.Duration(f.n) * time.Millisecond))
		return
	case netip.AddrPort, []netip.Prefix:
		return // by hand
	case metrics.Histogram:
		h := metrics.Histogram{Bounds: []float64{1, 2}}
		for range 3 {
			f.n++
			h.Counts = append(h.Counts, uint64(f.n))
			h.Sum += 3 * uint64(f.n)
		}
		v.Set(reflect.ValueOf(h))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f.fill(v.Field(i), at+"_"+v.Type().Field(i).Name)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(v.Elem(), at)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			f.fill(v.Index(i), fmt.Sprint(at, i))
		}
	case reflect.String:
		v.SetString("x" + at[1:])
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(f.n))
	case reflect.Int, reflect.Int64:
		v.SetInt(f.n)
	case reflect.Float64:
		v.SetFloat(1 / float64(f.n))
	default:
		f.t.Fatalf("no way to fill %s, a %s", at, v.Type())
	}
}
