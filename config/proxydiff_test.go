// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tunrouter/tunrouter/config"
)

// TestDiffProxyFields changes each field of each section of Proxy, one at a time, and wants
// this one section removed and added and all others kept.
func TestDiffProxyFields(t *testing.T) {
	values := map[reflect.Type]any{
		reflect.TypeFor[config.Endpoint]():        host("changed", 7),
		reflect.TypeFor[string]():                 "changed",
		reflect.TypeFor[config.Secret]():          config.Secret("changed"),
		reflect.TypeFor[config.Switch]():          config.SwitchUnset,
		reflect.TypeFor[int]():                    7,
		reflect.TypeFor[bool]():                   false,
		reflect.TypeFor[time.Duration]():          7 * time.Second,
		reflect.TypeFor[config.ResolveStrategy](): config.ResolveIPv4,
	}
	sections := map[string]func(*config.Proxy) any{
		"Socks5":          func(p *config.Proxy) any { return &p.SOCKS5[0] },
		"http":            func(p *config.Proxy) any { return &p.HTTP[0] },
		"TCPClientTunnel": func(p *config.Proxy) any { return &p.TCPClient[0] },
		"TCPServerTunnel": func(p *config.Proxy) any { return &p.TCPServer[0] },
		"UDPProxyTunnel":  func(p *config.Proxy) any { return &p.UDPClient[0] },
		"UDPServerTunnel": func(p *config.Proxy) any { return &p.UDPServer[0] },
		"STDIOTunnel":     func(p *config.Proxy) any { return p.STDIO },
		"Resolve":         func(p *config.Proxy) any { return &p.Resolve },
	}
	count := func(p *config.Proxy) int {
		n := len(p.SOCKS5) + len(p.HTTP) + len(p.TCPClient) + len(p.TCPServer) + len(p.UDPClient) + len(p.UDPServer)
		if p.STDIO != nil {
			n++
		}
		return n
	}
	for name, of := range sections {
		fields := reflect.TypeOf(of(&mustParse(t, readFile(t, "testdata/all.conf")).Proxy)).Elem()
		for i := range fields.NumField() {
			field := fields.Field(i)
			t.Run(name+"/"+field.Name, func(t *testing.T) {
				before, after := mustParse(t, readFile(t, "testdata/all.conf")), mustParse(t, readFile(t, "testdata/all.conf"))
				value, ok := values[field.Type]
				if !ok {
					t.Fatalf("no value of type %s", field.Type)
				}
				reflect.ValueOf(of(&after.Proxy)).Elem().Field(i).Set(reflect.ValueOf(value))
				changes := config.Diff(before, after)
				c := changes.Proxy
				want, moved := []string{name}, 1
				switch {
				case field.Name == "Line":
					want, moved = nil, 0
				case name == "Resolve":
					moved = 0
				}
				if diff := cmp.Diff(want, c.Names()); diff != "" {
					t.Errorf("Names (-want +got):\n%s", diff)
				}
				if changes.Empty() != (want == nil) || count(&c.Added) != moved || count(&c.Removed) != moved || count(&c.Kept) != 8-moved {
					t.Errorf("Diff = %+v", c)
				}
				if moved == 1 {
					added := reflect.ValueOf(of(&c.Added)).Elem().Field(i).Interface()
					removed := reflect.ValueOf(of(&c.Removed)).Elem().Field(i).Interface()
					if added != value || removed == value {
						t.Errorf("%s added and %s removed", added, removed)
					}
				}
			})
		}
	}
}

// TestDiffProxyEqual: of two equal sections one can go, and the order does not count.
func TestDiffProxyEqual(t *testing.T) {
	two := mustParse(t, netstackHead+"[Socks5]\nBindAddress = :0\n[Socks5]\nBindAddress = :0\n[Socks5]\nBindAddress = :1\n")
	one := mustParse(t, netstackHead+"[Socks5]\nBindAddress = :1\n[Socks5]\nBindAddress = :0\n")
	c := config.Diff(two, one).Proxy
	if len(c.Kept.SOCKS5) != 2 || len(c.Removed.SOCKS5) != 1 || c.Removed.SOCKS5[0].BindAddress.Port != 0 || len(c.Added.SOCKS5) != 0 {
		t.Errorf("Diff = %+v", c)
	}
	reversed := mustParse(t, netstackHead+"[Socks5]\nBindAddress = :0\n[Socks5]\nBindAddress = :1\n")
	if c := config.Diff(one, reversed); !c.Empty() || len(c.Proxy.Kept.SOCKS5) != 2 {
		t.Errorf("Diff = %+v, want nothing", c)
	}
	auto := mustParse(t, netstackHead+"[Resolve]\n[Router]\nMode = netstack")
	if c := config.Diff(mustParse(t, netstackHead+"[Router]\nMode = netstack"), auto); !c.Empty() {
		t.Errorf("Diff = %+v, want nothing", c)
	}
	c = config.Diff(nil, two).Proxy
	if names := c.Names(); !slices.Equal(names, []string{"Socks5"}) || len(c.Added.SOCKS5) != 3 {
		t.Errorf("Diff from nothing = %+v", c)
	}
}
