// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config_test

import (
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/config"
)

func TestValidate(t *testing.T) {
	tests := []struct {
		name   string
		change func(*config.Config)
		want   []string // beginning of each problem; none for a valid Config
	}{
		{"parsed", func(*config.Config) {}, nil},
		{"named", func(c *config.Config) { c.Name = "wg0" }, nil},
		{"other spelling", func(c *config.Config) {
			c.Interface.PrivateKey[0] |= 7
			c.Peers[0].Endpoint.Host = "2001:DB8::0:2"
		}, nil},
		{"bad name", func(c *config.Config) { c.Name = "my net" }, []string{`Name: "my net" is not`}},
		{"no private key", func(c *config.Config) {
			c.Interface.PrivateKey = config.Key{}
			c.Interface.PreUp, c.Interface.PostUp = nil, nil
		}, []string{"PrivateKey: missing"}},
		{"private key by hook", func(c *config.Config) { c.Interface.PrivateKey = config.Key{} }, nil},
		{"MTU", func(c *config.Config) { c.Interface.MTU = 70000 }, []string{`MTU: "70000" is not`}},
		{"MTU for IPv6", func(c *config.Config) { c.Interface.MTU = 1000 }, []string{"MTU: 1000 is too small"}},
		{"hook line break", func(c *config.Config) { c.Interface.PreUp = []string{"a\nMTU = 1500"} }, []string{"MTU: does not", "PreUp: does not"}},
		{"hook zero byte", func(c *config.Config) { c.Interface.PreUp = []string{"a\x00"} }, []string{"zero byte"}},
		{"hook empty", func(c *config.Config) { c.Interface.PostDown = []string{"true", ""} }, []string{"PostDown: does not"}},
		{"hook padded", func(c *config.Config) { c.Interface.PostUp = []string{" true"} }, []string{"PostUp: does not"}},
		{"no address", func(c *config.Config) { c.Interface.Addresses = []netip.Prefix{{}} }, []string{`Address: "invalid" is not`, `Address: "Prefix" is not`}},
		{"address twice", func(c *config.Config) { c.Interface.Addresses = prefixes("10.0.0.1/24", "10.0.0.1/24") },
			[]string{"Address: 10.0.0.1/24 is given twice"}},
		{"no name server", func(c *config.Config) { c.Interface.DNS = []netip.Addr{{}} }, []string{"DNS: does not", "DNSSearch: does not"}},
		{"two domains in one", func(c *config.Config) { c.Interface.DNSSearch = []string{"a b"} }, []string{"DNSSearch: does not"}},
		{"table off with number", func(c *config.Config) { c.Interface.Table = config.Table{Mode: config.TableOff, ID: 5} }, []string{"Table: does not"}},
		{"table without number", func(c *config.Config) { c.Interface.Table = config.Table{Mode: config.TableID} }, []string{`Table: "0" is not`}},
		{"table unknown", func(c *config.Config) { c.Interface.Table = config.Table{Mode: 9} }, []string{`Table: "TableMode(9)" is not`}},
		{"mode unknown", func(c *config.Config) { c.Router.Mode = 9 }, []string{`Mode: unknown value "Mode(9)"`}},
		{"switch unknown", func(c *config.Config) { c.Router.GSO = 9 }, []string{`GSO: unknown value "Switch(9)"`}},
		{"queues", func(c *config.Config) { c.Router.Queues = -1 }, []string{`Queues: "-1" is not`}},
		{"buffer", func(c *config.Config) { c.Router.SendBuffer = 1 }, []string{`SendBuffer: "1" is not`}},
		{"sockets", func(c *config.Config) { c.Router.Sockets = 17 }, []string{`Sockets: "17" is not`}},
		{"segments", func(c *config.Config) { c.Router.GSOSegments = -1 }, []string{`GSOSegments: "-1" is not`}},
		{"bytes", func(c *config.Config) { c.Router.GSOBytes = -5 }, []string{`GSOBytes: "-5" is not`}},
		{"bytes clamped later", func(c *config.Config) { c.Router.GSOBytes = 1 << 20 }, nil},
		{"sentinel", func(c *config.Config) { c.Router.GSOSentinel = 9 }, []string{`GSOSentinel: unknown value "Switch(9)"`}},
		{"slot", func(c *config.Config) { c.Router.GROSlot = 1 }, []string{`GROSlot: "1" is not`}},
		{"flush", func(c *config.Config) { c.Router.FlushTimeout = -1 }, []string{`FlushTimeout: "-1ns" is not`}},
		{"flush odd", func(c *config.Config) { c.Router.FlushTimeout = 1234567 }, nil},
		{"XDP off on an interface", func(c *config.Config) { c.Router.XDP = config.XDP{Interface: "eth0"} }, []string{"XDP: does not"}},
		{"XDP interface", func(c *config.Config) { c.Router.XDP = config.XDP{On: true, Interface: "a b"} }, []string{`XDP: "a b" is not an interface`}},
		{"XDP interface with a colon", func(c *config.Config) { c.Router.XDP = config.XDP{On: true, Interface: "a:2"} }, []string{"XDP: does not"}},
		{"XDP interface of a word", func(c *config.Config) { c.Router.XDP = config.XDP{On: true, Interface: "auto"} }, []string{"XDP: does not"}},
		{"XDP interface of a comment", func(c *config.Config) { c.Router.XDP = config.XDP{On: true, Interface: "a#b"} }, []string{"XDP: does not"}},
		{"XDP variable", func(c *config.Config) { c.Router.XDP = config.XDP{On: true, Interface: "$HOME"} }, nil},
		{"XDP queues", func(c *config.Config) { c.Router.XDP = config.XDP{On: true, Queues: 17} }, []string{`XDP: "17" is not a number of queues`}},
		{"XDP queues below", func(c *config.Config) { c.Router.XDP = config.XDP{On: true, Queues: -1} }, []string{`XDP: "-1" is not a number of queues`}},
		{"socket", func(c *config.Config) { c.Router.ControlSocket = "/a#b" }, []string{"ControlSocket: does not"}},
		{"level between", func(c *config.Config) { c.Router.LogLevel = 1 }, []string{`LogLevel: unknown value "info+1"`}},
		{"level not set", func(c *config.Config) { c.Router.LogLevelSet = false; c.Router.LogLevel = slog.LevelWarn }, []string{"LogLevel: does not"}},
		{"metrics for all", func(c *config.Config) { c.Router.Metrics.Token = "" }, []string{"Metrics: others than programs of this host"}},
		{"metrics nowhere", func(c *config.Config) { c.Router.Metrics.Listen = "example.com:1" }, []string{`Metrics: "example.com" is not an address`}},
		{"metrics without port", func(c *config.Config) { c.Router.Metrics.Listen = "127.0.0.1" }, []string{"Metrics: "}},
		{"metrics relative", func(c *config.Config) { c.Router.Metrics.Listen = "unix:a" }, []string{`Metrics: "a" is not an absolute path`}},
		{"metrics of fewer", func(c *config.Config) { c.Router.Metrics.Peers = -2 }, []string{`MetricsPeers: "-2" is not`}},
		{"token too short", func(c *config.Config) { c.Router.Metrics.Token = "abc" }, []string{"MetricsToken: not a token"}},
		{"token relative", func(c *config.Config) { c.Router.Metrics.Token, c.Router.Metrics.TokenFile = "", "a" }, []string{"MetricsToken: not a token"}},
		{"token twice", func(c *config.Config) { c.Router.Metrics.TokenFile = "/a" }, []string{"Router.Metrics: does not"}},
		{"rooms not in order", func(c *config.Config) { c.Router.LogRooms = []config.RoomLevel{{"tun", 0}, {"hub", 0}} }, []string{"LogLevel: does not"}},
		{"room twice", func(c *config.Config) { c.Router.LogRooms = []config.RoomLevel{{"tun", 0}, {"tun", 4}} }, []string{"LogLevel: tun has two levels"}},
		{"room unknown", func(c *config.Config) { c.Router.LogRooms = []config.RoomLevel{{"tub", 0}} }, []string{`LogLevel: unknown value "tub"`}},
		{"level of a room between", func(c *config.Config) { c.Router.LogRooms = []config.RoomLevel{{"tun", 1}} }, []string{`LogLevel: unknown value "info+1"`}},
		{"format unknown", func(c *config.Config) { c.Router.LogFormat = 9 }, []string{`LogFormat: unknown value "LogFormat(9)"`}},
		{"no public key", func(c *config.Config) { c.Peers[1].PublicKey = config.Key{} }, []string{"Peers[1].PublicKey: all zero"}},
		{"own public key", func(c *config.Config) { c.Filter = config.Filter{}; c.Peers[1].PublicKey = mustKey(t, testPublic) },
			[]string{"Peers[1].PublicKey: belongs to the PrivateKey"}},
		{"same peer twice", func(c *config.Config) { c.Filter = config.Filter{}; c.Peers[1].PublicKey = c.Peers[0].PublicKey },
			[]string{"Peers[1].PublicKey: same peer as in Peers[0]"}},
		{"endpoint without port", func(c *config.Config) { c.Peers[1].Endpoint.Port = 0 }, []string{`Peers[1].Endpoint: "0" is not`}},
		{"endpoint without host", func(c *config.Config) { c.Peers[1].Endpoint.Host = "" }, []string{`Peers[1].Endpoint: ":51821" is not`}},
		{"no range", func(c *config.Config) { c.Peers[1].AllowedIPs = []netip.Prefix{{}} }, []string{`Peers[1].AllowedIPs: "invalidPrefix" is not`}},
		{"range not masked", func(c *config.Config) { c.Peers[1].AllowedIPs = prefixes("10.5.0.1/24") },
			[]string{`Peers[1].AllowedIPs: "10.5.0.1/24" has bits`}},
		{"range twice", func(c *config.Config) { c.Peers[1].AllowedIPs = prefixes("10.5.0.0/24", "10.5.0.0/24") },
			[]string{"Peers[1].AllowedIPs: 10.5.0.0/24 is also in Peers[1]"}},
		{"range of two", func(c *config.Config) { c.Peers[1].AllowedIPs = c.Peers[0].AllowedIPs[2:] },
			[]string{"Peers[1].AllowedIPs: 192.168.0.0/16 also belongs to the peer of Peers[0]"}},
		{"forwarding", func(c *config.Config) { c.Router.PeerForwarding = 9 }, []string{`PeerForwarding: unknown value "Forwarding(9)"`}},
		{"queue length", func(c *config.Config) { c.Router.TxQueueLength = -1 }, []string{`TxQueueLength: "-1" is not`}},
		{"rule text", func(c *config.Config) { c.Filter.Rules[0].Text = "any\nAllow = any" }, nil},
		{"rule of a peer that is gone", func(c *config.Config) { c.Peers = c.Peers[:1] },
			[]string{"Filter.Names[1]: no [Peer] has key number 1"}},
		{"rule of this router", func(c *config.Config) { c.Filter.Rules[1].From.Keys[0] = mustKey(t, testPublic) },
			[]string{"Filter.Rules[1]: key number 1 of the line belongs to this very router"}},
		{"rule with an unknown name", func(c *config.Config) { c.Filter.Rules[3].To.Names = []string{"lap"} },
			[]string{`Filter.Rules[3]: unknown name "lap"; did you mean laptop?`}},
		{"rule with another spelling", func(c *config.Config) { c.Filter.Rules[3].To.Names = []string{"SITES"} }, []string{"Filter: does not"}},
		{"rule with a line break", func(c *config.Config) { c.Filter.Rules[3].To.Names = []string{"sites\nAllow = any"} }, []string{`Filter.Rules[4]: unknown word "any"`}},
		{"rule with ports without protocol", func(c *config.Config) { c.Filter.Rules[0].Protocol = 0 }, []string{"Filter.Rules[0]: ports without"}},
		{"rule with a range not masked", func(c *config.Config) { c.Filter.Rules[0].To.Prefixes = prefixes("10.0.0.1/8") }, []string{"Filter: does not"}},
		{"rule with no range", func(c *config.Config) { c.Filter.Rules[0].To.Prefixes = []netip.Prefix{{}} }, []string{`Filter.Rules[0]: unknown word "Prefix"`}},
		{"rule with ports reversed", func(c *config.Config) { c.Filter.Rules[0].Ports[1] = config.PortRange{First: 2, Last: 1} },
			[]string{`Filter.Rules[0]: "2-1" ends before`}},
		{"name reserved", func(c *config.Config) { c.Filter.Names[0].Name = "Any" },
			[]string{`Filter.Names[0]: "Any" has a meaning`, `Filter.Rules[0]: unknown name "laptop"`}},
		{"name twice", func(c *config.Config) { c.Filter.Names[1].Name = "laptop" },
			[]string{`Filter.Names[1]: "laptop" is also defined in Filter.Names[0]`, `Filter.Rules[3]: unknown name "sites"`}},
		{"name without keys", func(c *config.Config) { c.Filter.Names[1].Keys = nil }, []string{`Filter.Names[1]: no key behind "sites"`}},
		{"name with a key twice", func(c *config.Config) { c.Filter.Names[1].Keys[1] = c.Filter.Names[1].Keys[0] }, []string{"Filter: does not"}},
		{"subnets", func(c *config.Config) { c.Router.SubnetRouter.Prefixes = prefixes("10.0.0.1/8") }, []string{"SubnetRouter: does not"}},
		{"no subnet", func(c *config.Config) { c.Router.SubnetRouter.Prefixes = []netip.Prefix{{}} }, []string{`SubnetRouter: "invalid Prefix" is not`}},
		{"subnet limit", func(c *config.Config) { c.Router.SubnetRouterPerPeer = -1 }, []string{`SubnetRouterPerPeer: "-1" is not`}},
		{"recovery", func(c *config.Config) { c.Router.TCPRecovery = 9 }, []string{`TCPRecovery: unknown value "Recovery(9)"`}},
		{"congestion", func(c *config.Config) { c.Router.TCPCongestion = 9 }, []string{`TCPCongestion: unknown value "Congestion(9)"`}},
		{"alive", func(c *config.Config) { c.Interface.CheckAlive = []netip.Addr{{}} }, []string{`CheckAlive: "invalid" is not`, `CheckAlive: "IP" is not`}},
		{"mode stated", func(c *config.Config) { c.Router.ModeSet = false }, nil},
		{"tun with proxies", func(c *config.Config) { c.Router.Mode = config.ModeTUN; c.Router.SubnetRouter = config.SubnetRouter{} },
			[]string{"Proxy.SOCKS5[0]: needs netstack mode, and the mode is tun; so do 8 more lines"}},
		{"bind without address", func(c *config.Config) { c.Proxy.SOCKS5[0].BindAddress.Host = "" }, []string{"Proxy.SOCKS5[0]: does not"}},
		{"bind to a name", func(c *config.Config) { c.Proxy.TCPClient[1].BindAddress.Host = "a.example" },
			[]string{`Proxy.TCPClient[1].BindAddress: "a.example" is not an address of this host`}},
		{"bind spelling", func(c *config.Config) { c.Proxy.SOCKS5[0].BindAddress.Host = "0::1" }, []string{"Proxy.SOCKS5[0]: does not"}},
		{"bind twice", func(c *config.Config) { c.Proxy.HTTP[0].BindAddress = c.Proxy.SOCKS5[0].BindAddress },
			[]string{"Proxy.HTTP[0].BindAddress: Proxy.SOCKS5[0] already listens on TCP port 1080"}},
		{"bind in the tunnel to an address", func(c *config.Config) { c.Proxy.UDPServer[0].BindAddress.Host = "10.0.0.1" }, []string{"Proxy.UDPServer[0]: does not"}},
		{"no port", func(c *config.Config) { c.Proxy.TCPServer[0].BindAddress.Port = 0 }, []string{`Proxy.TCPServer[0].ListenPort: "0" is not`}},
		{"no target", func(c *config.Config) { c.Proxy.STDIO.Target = config.Endpoint{} }, []string{"Proxy.STDIO.Target: missing"}},
		{"user alone", func(c *config.Config) { c.Proxy.HTTP[0].Password = "" }, []string{"Proxy.HTTP[0].Username: without Password"}},
		{"key alone", func(c *config.Config) { c.Proxy.HTTP[0].CertFile = "" }, []string{"Proxy.HTTP[0].KeyFile: without CertFile"}},
		{"password", func(c *config.Config) { c.Proxy.SOCKS5[0].Password = "$a `#" }, nil},
		{"password of all quotes", func(c *config.Config) { c.Proxy.SOCKS5[0].Password = "a`\"\"\"#" }, []string{"Proxy.SOCKS5[0]: does not"}},
		{"password line break", func(c *config.Config) { c.Proxy.SOCKS5[0].Password = "a\nUDP = on" }, []string{"Proxy.SOCKS5[0]: does not"}},
		{"udp", func(c *config.Config) { c.Proxy.SOCKS5[0].UDP = 9 }, []string{`Proxy.SOCKS5[0].UDP: unknown value "Switch(9)"`}},
		{"timeout not set", func(c *config.Config) { c.Proxy.UDPServer[0].InactivityTimeoutSet = false }, []string{"Proxy.UDPServer[0]: does not"}},
		{"timeout odd", func(c *config.Config) { c.Proxy.UDPClient[0].InactivityTimeout = 5 }, []string{"Proxy.UDPClient[0]: does not"}},
		{"limit", func(c *config.Config) { c.Proxy.TCPServer[0].MaxConnections = -1 }, []string{`Proxy.TCPServer[0].MaxConnections: "-1" is not`}},
		{"strategy", func(c *config.Config) { c.Proxy.Resolve.Strategy = 9 }, []string{`Proxy.Resolve.ResolveStrategy: unknown value "ResolveStrategy(9)"`}},
		{"only peer without ranges", func(c *config.Config) { c.Filter = config.Filter{}; c.Peers = c.Peers[1:] }, nil},
		{"several", func(c *config.Config) {
			c.Interface.MTU = 1
			c.Peers[0].AllowedIPs[0] = netip.Prefix{}
			c.Router.Queues = 999
		},
			[]string{"MTU:", "Peers[0].AllowedIPs:", "Queues:"}},
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
			if !errors.As(err, &e) {
				t.Fatalf("Validate = %v, want an *Error", err)
			}
			if len(e.Problems) != len(tt.want) {
				t.Fatalf("%d problems, want %d:\n%v", len(e.Problems), len(tt.want), err)
			}
			for i, p := range e.Problems {
				if !strings.HasPrefix(p.String(), tt.want[i]) {
					t.Errorf("problem %q, want %q", p, tt.want[i])
				}
			}
		})
	}
}

// TestValidateExamples: what Parse returns is valid.
func TestValidateExamples(t *testing.T) {
	for _, path := range append(glob(t, "testdata/files/*.conf"), "../docs/router.conf") {
		if err := mustParse(t, readFile(t, path)).Validate(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}
