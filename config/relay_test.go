// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config_test

import (
	"bytes"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tunrouter/tunrouter/config"
)

// relayHead is the beginning of files with one peer, of lines 1 to 4.
const relayHead = "[Interface]\nPrivateKey = " + testPrivate + "\n[Peer]\nPublicKey = " + peerA + "\n"

func keys(tb testing.TB, texts ...string) []config.Key {
	var ks []config.Key
	for _, s := range texts {
		ks = append(ks, mustKey(tb, s))
	}
	return ks
}

// TestRelayKeys reads each form of each key of [Relay].
func TestRelayKeys(t *testing.T) {
	relay := func(key string, endpoint config.Endpoint) config.Relay {
		return config.Relay{PublicKey: mustKey(t, key), Endpoint: endpoint}
	}
	tests := []struct {
		name, text string
		want       []config.Relay
	}{
		{"none", "", nil},
		{"name", "[Relay]\nPublicKey = " + peerB + "\nEndpoint = relay.example:3479", []config.Relay{relay(peerB, host("relay.example", 3479))}},
		{"address", "[relay]\nendpoint = [2001:DB8::1]:1\npublickey = " + peerB, []config.Relay{relay(peerB, host("2001:db8::1", 1))}},
		{"a peer is one", "[Relay]\nPublicKey = " + peerA + "\nEndpoint = 192.0.2.1:3479", []config.Relay{relay(peerA, host("192.0.2.1", 3479))}},
		{"two in order", "[Relay]\nPublicKey = " + peerC + "\nEndpoint = b.example:1\n[Relay]\nPublicKey = " + peerB + "\nEndpoint = a.example:1",
			[]config.Relay{relay(peerC, host("b.example", 1)), relay(peerB, host("a.example", 1))}},
		{"own", "[Relay]\nPublicKey = " + testPublic + "\nEndpoint = a.example:1\n[Relay]\nPublicKey = " + peerB + "\nEndpoint = b.example:1",
			[]config.Relay{relay(peerB, host("b.example", 1))}},
		{"last counts", "[Relay]\nPublicKey = " + peerC + "\nPublicKey = " + peerB + "\nEndpoint = a.example:1", []config.Relay{relay(peerB, host("a.example", 1))}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := mustParse(t, relayHead+tt.text)
			if diff := cmp.Diff(tt.want, c.Relays, same()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			checkWritten(t, c)
		})
	}
}

// TestRelayServerKeys reads each form of each key of [RelayServer].
func TestRelayServerKeys(t *testing.T) {
	peers := func(s config.RelayServer) *config.RelayServer {
		s.ListenPort, s.AllowPeers, s.AllowedKeys = 3479, true, keys(t, peerA)
		return &s
	}
	tests := []struct {
		name, text string
		want       *config.RelayServer
	}{
		{"peers", "", peers(config.RelayServer{})},
		{"peers in words", "AllowedKeys = PEERS", peers(config.RelayServer{})},
		{"keys", "AllowedKeys = " + peerC + ", " + peerB, &config.RelayServer{ListenPort: 3479, Keys: keys(t, peerC, peerB), AllowedKeys: keys(t, peerC, peerB)}},
		{"lines", "AllowedKeys = " + peerC + "\nAllowedKeys = peers," + peerB,
			&config.RelayServer{ListenPort: 3479, AllowPeers: true, Keys: keys(t, peerC, peerB), AllowedKeys: keys(t, peerA, peerC, peerB)}},
		{"a peer twice", "AllowedKeys = " + peerA + ", peers", &config.RelayServer{ListenPort: 3479, AllowPeers: true, Keys: keys(t, peerA), AllowedKeys: keys(t, peerA)}},
		{"own", "AllowedKeys = " + testPublic + "," + peerB, &config.RelayServer{ListenPort: 3479, Keys: keys(t, peerB), AllowedKeys: keys(t, peerB)}},
		{"nobody", "AllowedKeys =", &config.RelayServer{ListenPort: 3479}},
		{"nobody else", "AllowedKeys = " + testPublic, &config.RelayServer{ListenPort: 3479}},
		{"sessions", "MaxSessions = 1\nMaxSessionsPerClient = 1", peers(config.RelayServer{MaxSessions: 1, MaxSessionsPerClient: 1})},
		{"sessions most", "MaxSessions = 65536\nMaxSessionsPerClient = 65536", peers(config.RelayServer{MaxSessions: 65536, MaxSessionsPerClient: 65536})},
		{"rate", "MaxRate = 12M", peers(config.RelayServer{MaxRate: 12 << 20})},
		{"rate smallest", "MaxRate = 65536", peers(config.RelayServer{MaxRate: 65536})},
		{"rate largest", "MaxRate = 4096m", peers(config.RelayServer{MaxRate: 4 << 30})},
		{"rate odd", "MaxRate = 4294967295", peers(config.RelayServer{MaxRate: 4<<30 - 1})},
		{"rate off", "MaxRate = 1M\nMaxRate = Off", peers(config.RelayServer{})},
		{"rate zero", "MaxRate = 0", peers(config.RelayServer{})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := mustParse(t, relayHead+"[RelayServer]\nListenPort = 3479\n"+tt.text)
			if diff := cmp.Diff(tt.want, c.RelayServer, same()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if c.RelayServer.Line != 5 {
				t.Errorf("Line = %d, want 5", c.RelayServer.Line)
			}
			checkWritten(t, c)
		})
	}
	if c := mustParse(t, relayHead); c.RelayServer != nil || c.Allowed() != nil {
		t.Errorf("without the section: %+v, %v", c.RelayServer, c.Allowed())
	}
}

// TestRelayServerFollowsPeers: with peers in AllowedKeys a peer that comes or goes while the
// router runs is one that may, or may not, use the relay, also in the file that is saved.
func TestRelayServerFollowsPeers(t *testing.T) {
	before := mustParse(t, relayHead+"[RelayServer]\nListenPort = 3479\nAllowedKeys = peers, "+peerC)
	live := *before
	live.Peers = []config.Peer{{PublicKey: mustKey(t, peerB)}}
	if diff := cmp.Diff(keys(t, peerB, peerC), live.Allowed(), same()); diff != "" {
		t.Errorf("Allowed (-want +got):\n%s", diff)
	}
	changes := config.Diff(before, &live)
	if names := changes.RelayServer.Names(); !cmp.Equal(names, []string{"AllowedKeys"}) {
		t.Errorf("changes: %v", names)
	}
	saved := mustParse(t, written(t, &live))
	if diff := cmp.Diff(keys(t, peerB, peerC), saved.RelayServer.AllowedKeys, same()); diff != "" {
		t.Errorf("AllowedKeys of the saved file (-want +got):\n%s", diff)
	}
	// A list is what it is.
	before = mustParse(t, relayHead+"[RelayServer]\nListenPort = 3479\nAllowedKeys = "+peerA)
	live = *before
	live.Peers = nil
	if c := config.Diff(before, &live); c.RelayServer != (config.RelayServerChanges{}) || len(c.Removed) != 1 {
		t.Errorf("Diff = %+v", c)
	}
}

// TestDiffRelay changes each field of each section, one at a time.
func TestDiffRelay(t *testing.T) {
	base := func() *config.Config { return mustParse(t, readFile(t, "testdata/all.conf")) }
	values := map[reflect.Type]any{
		reflect.TypeFor[config.Key]():      mustKey(t, testPSK),
		reflect.TypeFor[config.Endpoint](): host("changed", 7),
		reflect.TypeFor[uint16]():          uint16(7),
		reflect.TypeFor[int]():             7,
		reflect.TypeFor[int64]():           int64(7),
		reflect.TypeFor[bool]():            false,
		reflect.TypeFor[[]config.Key]():    keys(t, testPSK),
	}
	set := func(of any, i int) {
		f := reflect.ValueOf(of).Elem().Field(i)
		value, ok := values[f.Type()]
		if !ok {
			t.Fatalf("no value of type %s", f.Type())
		}
		f.Set(reflect.ValueOf(value).Convert(f.Type()))
	}
	for field := range reflect.TypeFor[config.Relay]().Fields() {
		after := base()
		set(&after.Relays[1], field.Index[0])
		want := field.Name != "Line"
		if c := config.Diff(base(), after); c.Relays != want || c.Empty() == want || c.PeersChanged() {
			t.Errorf("%s: Diff = %+v", field.Name, c)
		}
	}
	other := map[string]string{"AllowPeers": "AllowedKeys", "Keys": "AllowedKeys", "AllowedKeys": "", "Line": ""}
	for field := range reflect.TypeFor[config.RelayServer]().Fields() {
		after := base()
		set(after.RelayServer, field.Index[0])
		want := field.Name
		if name, ok := other[want]; ok {
			want = name
		}
		c := config.Diff(base(), after)
		if only := want == "" || want == "AllowedKeys"; base().RelayServer.SameButKeys(after.RelayServer) != only {
			t.Errorf("%s: SameButKeys = %t", field.Name, !only)
		}
		if got := strings.Join(c.RelayServer.Names(), " "); got != want || c.Empty() != (want == "") || c.Relays {
			t.Errorf("%s: changed %q, want %q", field.Name, got, want)
		}
	}
	swapped := base()
	swapped.Relays[0], swapped.Relays[1] = swapped.Relays[1], swapped.Relays[0]
	if c := config.Diff(base(), swapped); !c.Relays {
		t.Error("relays in another order are not reported")
	}
	spelt := base()
	spelt.Relays[1].Endpoint.Host = "2001:DB8:0::7"
	if c := config.Diff(base(), spelt); !c.Empty() {
		t.Errorf("another spelling: Diff = %+v, want nothing", c)
	}
	const all = "ListenPort AllowedKeys MaxSessions MaxSessionsPerClient MaxRate"
	for name, c := range map[string]config.Changes{"from": config.Diff(nil, base()), "to": config.Diff(base(), nil)} {
		if got := strings.Join(c.RelayServer.Names(), " "); got != all || !c.Relays {
			t.Errorf("Diff %s nothing: %q, relays %t", name, got, c.Relays)
		}
	}
}

// TestDiscovery: off is the only value that changes anything.
func TestDiscovery(t *testing.T) {
	parse := func(text string) *config.Config { return mustParse(t, relayHead+"[Router]\n"+text) }
	unset, on, off := parse(""), parse("Discovery = on"), parse("Discovery = OFF")
	if unset.Router.Discovery != config.SwitchUnset || on.Router.Discovery != config.SwitchOn || off.Router.Discovery != config.SwitchOff {
		t.Errorf("Discovery = %s, %s, %s", unset.Router.Discovery, on.Router.Discovery, off.Router.Discovery)
	}
	if c := config.Diff(unset, on); !c.Empty() {
		t.Errorf("from unset to on: %+v", c)
	}
	if c := config.Diff(unset, off); !c.Router.Discovery {
		t.Errorf("from unset to off: %+v", c)
	}
	for _, c := range []*config.Config{unset, on, off} {
		checkWritten(t, c)
	}
}

// TestValidateRelay: what a program may get wrong, and where it is.
func TestValidateRelay(t *testing.T) {
	tests := []struct {
		name   string
		change func(*config.Config)
		want   []string // beginning of each problem; none for a valid Config
	}{
		{"parsed", func(*config.Config) {}, nil},
		{"no relays", func(c *config.Config) { c.Relays, c.RelayServer = nil, nil }, nil},
		{"resolved keys do not count", func(c *config.Config) { c.RelayServer.AllowedKeys = nil }, nil},
		{"peers changed", func(c *config.Config) { c.Filter, c.Peers = config.Filter{}, c.Peers[:1] }, nil},
		{"no key", func(c *config.Config) { c.Relays[0].PublicKey = config.Key{} }, []string{"Relays[0].PublicKey: all zero"}},
		{"own key", func(c *config.Config) { c.Relays[1].PublicKey = mustKey(t, testPublic) }, []string{"Relays[1].PublicKey: belongs to"}},
		{"same key", func(c *config.Config) { c.Relays[1].PublicKey = c.Relays[0].PublicKey }, []string{"Relays[1].PublicKey: same relay as in Relays[0]"}},
		{"no endpoint", func(c *config.Config) { c.Relays[1].Endpoint = config.Endpoint{} }, []string{"Relays[1].Endpoint: missing"}},
		{"bad endpoint", func(c *config.Config) { c.Relays[0].Endpoint.Host = "a b" }, []string{"Relays[0].Endpoint: does not"}},
		{"too many", func(c *config.Config) {
			for i := range 7 {
				k := mustKey(t, peerC)
				k[0] = byte(i + 1)
				c.Relays = append(c.Relays, config.Relay{PublicKey: k, Endpoint: host("a", 1)})
			}
		}, []string{"Relays[8]: 9 relays are too many"}},
		{"port", func(c *config.Config) { c.RelayServer.ListenPort = 0 }, []string{`RelayServer.ListenPort: "0" is not`}},
		{"port of the interface", func(c *config.Config) { c.RelayServer.ListenPort = c.Interface.ListenPort },
			[]string{"RelayServer.ListenPort: UDP port 51820 is that of [Interface]"}},
		{"nobody", func(c *config.Config) { c.RelayServer.AllowPeers, c.RelayServer.Keys = false, nil }, nil},
		{"key twice", func(c *config.Config) { c.RelayServer.Keys = append(c.RelayServer.Keys, c.RelayServer.Keys[0]) },
			[]string{"RelayServer.AllowedKeys: a key is given twice"}},
		{"allowed own key", func(c *config.Config) { c.RelayServer.Keys[0] = mustKey(t, testPublic) }, []string{"RelayServer.AllowedKeys: a key belongs to"}},
		{"allowed no key", func(c *config.Config) { c.RelayServer.Keys[0] = config.Key{} }, []string{"RelayServer.AllowedKeys: a key is all zero"}},
		{"sessions", func(c *config.Config) { c.RelayServer.MaxSessions = -1 }, []string{`RelayServer.MaxSessions: "-1" is not`}},
		{"rate", func(c *config.Config) { c.RelayServer.MaxRate = -1 << 20 }, []string{`RelayServer.MaxRate: "-1M" is not`}},
		{"rate too large", func(c *config.Config) { c.RelayServer.MaxRate = 4<<30 + 1 }, []string{`RelayServer.MaxRate: "4294967297" is not`}},
		{"discovery", func(c *config.Config) { c.Router.Discovery = 9 }, []string{`Discovery: unknown value "Switch(9)"`}},
		{"proxy behind it", func(c *config.Config) { c.Proxy.SOCKS5[0].BindAddress.Host = "a" }, []string{`Proxy.SOCKS5[0].BindAddress: "a" is not`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := mustParse(t, readFile(t, "testdata/all.conf"))
			tt.change(c)
			err := c.Validate()
			if len(tt.want) == 0 {
				if err != nil {
					t.Errorf("Validate = %v, want nil", err)
				}
				return
			}
			var e *config.Error
			if !errors.As(err, &e) || len(e.Problems) != len(tt.want) {
				t.Fatalf("Validate = %v, want %d problems", err, len(tt.want))
			}
			for i, p := range e.Problems {
				if !strings.HasPrefix(p.String(), tt.want[i]) {
					t.Errorf("problem %q, want %q", p, tt.want[i])
				}
			}
		})
	}
}

// TestRelayIsLogged: public keys and addresses are for the log.
func TestRelayIsLogged(t *testing.T) {
	var b bytes.Buffer
	c := mustParse(t, readFile(t, "testdata/all.conf"))
	slog.New(slog.NewJSONHandler(&b, nil)).Info("test", "relay", c.Relays[0], "config", c, "changes", config.Diff(nil, c))
	for _, want := range []string{`"public_key":"` + peerC, `"endpoint":"relay.example:3479"`, `"relays":2`, `"relay_server":["ListenPort","AllowedKeys"`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %s in %s", want, b.String())
		}
	}
}

// FuzzWriteRelay is FuzzWrite for relays.
func FuzzWriteRelay(f *testing.F) {
	f.Add([]byte{1}, "relay.example", uint16(3479), uint16(3480), true, 0, 0, int64(12<<20))
	f.Add([]byte{1, 1}, "a\n[RelayServer]", uint16(0), uint16(0), false, -1, 1<<20, int64(-1))
	f.Add([]byte{0}, "::1", uint16(1), uint16(1), false, 5, 6, int64(65537))
	f.Fuzz(func(t *testing.T, first []byte, name string, port, listen uint16, all bool, sessions, perClient int, rate int64) {
		s := &config.RelayServer{ListenPort: listen, AllowPeers: all, MaxSessions: sessions, MaxSessionsPerClient: perClient, MaxRate: rate}
		c := &config.Config{
			Interface: config.Interface{PrivateKey: mustKey(t, testPrivate)},
			Peers:     []config.Peer{{PublicKey: mustKey(t, peerA)}}, RelayServer: s,
		}
		for _, b := range first {
			k := mustKey(t, peerB)
			k[0] = b
			s.Keys = append(s.Keys, k)
			c.Relays = append(c.Relays, config.Relay{PublicKey: k, Endpoint: host(name, port)})
		}
		if err := c.Validate(); err != nil {
			var e *config.Error
			if !errors.As(err, &e) || len(e.Problems) == 0 {
				t.Fatalf("Validate = %#v", err)
			}
			return
		}
		for i := range c.Relays {
			if a, ok := c.Relays[i].Endpoint.AddrPort(); ok {
				c.Relays[i].Endpoint.Host = a.Addr().String() // what a file makes of other spellings
			}
		}
		s.AllowedKeys = c.Allowed()
		checkWritten(t, c)
	})
}
