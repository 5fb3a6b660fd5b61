// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config_test

import (
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tunrouter/tunrouter/config"
)

func prefixes(texts ...string) []netip.Prefix {
	var ps []netip.Prefix
	for _, s := range texts {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

func addrs(texts ...string) []netip.Addr {
	var as []netip.Addr
	for _, s := range texts {
		as = append(as, netip.MustParseAddr(s))
	}
	return as
}

// TestInterfaceKeys reads each form of each key of [Interface].
func TestInterfaceKeys(t *testing.T) {
	tests := []struct {
		name, text string
		want       config.Interface
	}{
		{"nothing", "", config.Interface{}},
		{"port", "ListenPort = 51820", config.Interface{ListenPort: 51820}},
		{"port chosen", "ListenPort = 0", config.Interface{}},
		{"port padded", "ListenPort = 00080", config.Interface{ListenPort: 80}},
		{"mark", "FwMark = 51820", config.Interface{FwMark: 51820}},
		{"mark hex", "FwMark = 0xCa6C", config.Interface{FwMark: 0xca6c}},
		{"mark largest", "FwMark = 0xffffffff", config.Interface{FwMark: 0xffffffff}},
		{"mark off", "FwMark = OFF", config.Interface{}},
		{"mark zero", "FwMark = 0x0", config.Interface{}},
		{"mark last wins", "FwMark = 5\nFwMark = off", config.Interface{}},
		{"address", "Address = 10.0.0.1/24", config.Interface{Addresses: prefixes("10.0.0.1/24")}},
		{"address bare", "Address = 10.0.0.1, fd00::1", config.Interface{Addresses: prefixes("10.0.0.1/32", "fd00::1/128")}},
		{"address list", "Address = 10.0.0.1/24,fd00::1/64  10.0.1.1/24,,", config.Interface{Addresses: prefixes("10.0.0.1/24", "fd00::1/64", "10.0.1.1/24")}},
		{"address lines", "Address=10.0.0.1/24\nAddress=10.0.0.2/24", config.Interface{Addresses: prefixes("10.0.0.1/24", "10.0.0.2/24")}},
		{"address mask", "Address = 10.0.0.1/255.255.254.0", config.Interface{Addresses: prefixes("10.0.0.1/23")}},
		{"address mask 0", "Address = 10.0.0.1/0.0.0.0", config.Interface{Addresses: prefixes("10.0.0.1/0")}},
		{"address empty", "Address =", config.Interface{}},
		{"dns", "DNS = 10.0.0.53, fd00::53", config.Interface{DNS: addrs("10.0.0.53", "fd00::53")}},
		{"dns zone", "DNS = fe80::1%eth0", config.Interface{DNS: addrs("fe80::1%eth0")}},
		{"dns search", "DNS = 1.1.1.1 corp.example, lan\nDNS = ~.", config.Interface{DNS: addrs("1.1.1.1"), DNSSearch: []string{"corp.example", "lan", "~."}}},
		{"mtu", "MTU = 1420", config.Interface{MTU: 1420}},
		{"mtu smallest", "MTU = 68", config.Interface{MTU: 68}},
		{"mtu automatic", "MTU = 1420\nMTU =", config.Interface{}},
		{"table auto", "Table = auto", config.Interface{}},
		{"table empty", "Table =", config.Interface{}},
		{"table off", "Table = off", config.Interface{Table: config.Table{Mode: config.TableOff}}},
		{"table number", "Table = 1234", config.Interface{Table: config.Table{Mode: config.TableID, ID: 1234}}},
		{"table hex", "Table = 0x10", config.Interface{Table: config.Table{Mode: config.TableID, ID: 16}}},
		{"table name", "Table = my_table-1.x", config.Interface{Table: config.Table{Mode: config.TableID, Name: "my_table-1.x"}}},
		{"hooks", "PreUp=a\nPostUp=b\nPreDown=c\nPostDown=d", config.Interface{PreUp: []string{"a"}, PostUp: []string{"b"}, PreDown: []string{"c"}, PostDown: []string{"d"}}},
		{"hooks in order", "PostUp = b 1\nPostUp = a  2 ", config.Interface{PostUp: []string{"b 1", "a  2"}}},
		{"hook with comment", "PostUp = echo '#1' # second", config.Interface{PostUp: []string{"echo '#1' # second"}}},
		{"hook with =", "PostUp = X=1 wg set %i fwmark 0x1", config.Interface{PostUp: []string{"X=1 wg set %i fwmark 0x1"}}},
		{"hook empty", "PostUp =\nPostUp = #x", config.Interface{PostUp: []string{"#x"}}},
		{"save", "SaveConfig = true", config.Interface{SaveConfig: true}},
		{"save not", "SaveConfig = FALSE", config.Interface{}},
		{"alive", "CheckAlive = 10.0.0.1, fd00::1\nCheckAlive = 10.0.0.2\nCheckAliveInterval = 3",
			config.Interface{CheckAlive: addrs("10.0.0.1", "fd00::1", "10.0.0.2"), CheckAliveInterval: 3}},
		{"case", "listenPORT = 1\nmtu=1420", config.Interface{ListenPort: 1, MTU: 1420}},
		{"white space", "\t Listen Port\t=\v1 0 \r\nMTU\f=  1400 \t\r", config.Interface{ListenPort: 10, MTU: 1400}},
		{"comments", "# all\nListenPort = 5 # five\n  #ListenPort = 6\n#", config.Interface{ListenPort: 5}},
		{"other section between", "MTU=1300\n[peer]\nPublicKey=" + peerA + "\n[INTERFACE]\nListenPort=9", config.Interface{MTU: 1300, ListenPort: 9}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := mustParse(t, "[Interface]\nPrivateKey = "+testPrivate+"\n"+tt.text)
			tt.want.PrivateKey = mustKey(t, testPrivate)
			if diff := cmp.Diff(tt.want, c.Interface, same()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestPrivateKeyIsClamped: any 32 bytes are a private key, kept as they are used.
func TestPrivateKeyIsClamped(t *testing.T) {
	loose := mustKey(t, testPrivate)
	loose[0] |= 7
	loose[31] |= 0x80
	c := mustParse(t, "[Interface]\nPrivateKey = "+loose.String())
	if got := c.Interface.PrivateKey.String(); got != testPrivate {
		t.Errorf("PrivateKey = %s, want %s", got, testPrivate)
	}
}

// TestPeerKeys reads each form of each key of [Peer].
func TestPeerKeys(t *testing.T) {
	tests := []struct {
		name, text string
		want       config.Peer
	}{
		{"nothing", "", config.Peer{}},
		{"preshared", "PresharedKey = " + testPSK, config.Peer{PresharedKey: mustKey(t, testPSK)}},
		{"preshared zero", "PresharedKey = " + strings.Repeat("A", 43) + "=", config.Peer{}},
		{"key with spaces", "Preshared Key = " + testPSK[:10] + " " + testPSK[10:], config.Peer{PresharedKey: mustKey(t, testPSK)}},
		{"ranges", "AllowedIPs = 10.0.0.0/24, fd00::/64", config.Peer{AllowedIPs: prefixes("10.0.0.0/24", "fd00::/64")}},
		{"ranges bare", "AllowedIPs = 10.0.0.1,fd00::1", config.Peer{AllowedIPs: prefixes("10.0.0.1/32", "fd00::1/128")}},
		{"ranges masked", "AllowedIPs = 10.0.0.77/24,fd00::77/64", config.Peer{AllowedIPs: prefixes("10.0.0.0/24", "fd00::/64")}},
		{"ranges lines", "AllowedIPs = 10.0.0.0/24\nAllowedIPs = 10.0.1.0/24", config.Peer{AllowedIPs: prefixes("10.0.0.0/24", "10.0.1.0/24")}},
		{"ranges once", "AllowedIPs = 10.0.0.0/24, 10.0.1.0/24, 10.0.0.9/24", config.Peer{AllowedIPs: prefixes("10.0.0.0/24", "10.0.1.0/24")}},
		{"ranges all", "AllowedIPs = 0.0.0.0/0, ::/0", config.Peer{AllowedIPs: prefixes("0.0.0.0/0", "::/0")}},
		{"ranges empty", "AllowedIPs =", config.Peer{}},
		{"ranges padded", "AllowedIPs = 10.1.2.3/0 24", config.Peer{AllowedIPs: prefixes("10.1.2.0/24")}},
		{"endpoint", "Endpoint = 192.0.2.1:51820", config.Peer{Endpoint: config.Endpoint{Host: "192.0.2.1", Port: 51820}}},
		{"endpoint v6", "Endpoint = [2001:DB8:0::1]:51820", config.Peer{Endpoint: config.Endpoint{Host: "2001:db8::1", Port: 51820}}},
		{"endpoint v6 bare", "Endpoint = 2001:db8::1:51820", config.Peer{Endpoint: config.Endpoint{Host: "2001:db8::1", Port: 51820}}},
		{"endpoint zone", "Endpoint = [fe80::1%eth0]:1", config.Peer{Endpoint: config.Endpoint{Host: "fe80::1%eth0", Port: 1}}},
		{"endpoint mapped", "Endpoint = [::ffff:192.0.2.1]:1", config.Peer{Endpoint: config.Endpoint{Host: "192.0.2.1", Port: 1}}},
		{"endpoint name", "Endpoint = vpn.Example.com:51820", config.Peer{Endpoint: config.Endpoint{Host: "vpn.Example.com", Port: 51820}}},
		{"endpoint name in brackets", "Endpoint = [localhost]:65535", config.Peer{Endpoint: config.Endpoint{Host: "localhost", Port: 65535}}},
		{"endpoint unicode", "Endpoint = vpn.bücher.example:1", config.Peer{Endpoint: config.Endpoint{Host: "vpn.bücher.example", Port: 1}}},
		{"keepalive", "PersistentKeepalive = 25", config.Peer{PersistentKeepalive: 25}},
		{"keepalive off", "PersistentKeepalive = Off", config.Peer{}},
		{"keepalive zero", "PersistentKeepalive = 0", config.Peer{}},
		{"keepalive largest", "PersistentKeepalive = 65535", config.Peer{PersistentKeepalive: 65535}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := mustParse(t, "[Interface]\nPrivateKey = "+testPrivate+"\n[Peer]\nPublicKey = "+peerA+"\n"+tt.text)
			tt.want.PublicKey = mustKey(t, peerA)
			if diff := cmp.Diff([]config.Peer{tt.want}, c.Peers, same()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if c.Peers[0].Line != 3 {
				t.Errorf("Line = %d, want 3", c.Peers[0].Line)
			}
		})
	}
}

// TestRouterKeys reads each form of each key of [Router].
func TestRouterKeys(t *testing.T) {
	tests := []struct {
		name, text string
		want       config.Router
	}{
		{"nothing", "", config.Router{}},
		{"mode", "Mode = tun", config.Router{ModeSet: true}},
		{"mode netstack", "mode = NetStack", config.Router{Mode: config.ModeNetstack, ModeSet: true}},
		{"subnets", "SubnetRouter = On", config.Router{Mode: config.ModeNetstack, SubnetRouter: config.SubnetRouter{Any: true}}},
		{"subnets off", "SubnetRouter = on\nSubnetRouter = OFF", config.Router{}},
		{"subnets off in a tun", "Mode = tun\nSubnetRouter = off", config.Router{ModeSet: true}},
		{"subnets listed", "SubnetRouter = 192.168.7.0/24,fd00::7", config.Router{Mode: config.ModeNetstack,
			SubnetRouter: config.SubnetRouter{Prefixes: prefixes("192.168.7.0/24", "fd00::7/128")}}},
		{"subnets beside", "Mode = netstack\nSubnetRouter = on, 169.254.169.254/32", config.Router{Mode: config.ModeNetstack, ModeSet: true,
			SubnetRouter: config.SubnetRouter{Any: true, Prefixes: prefixes("169.254.169.254/32")}}},
		{"subnets per peer", "SubnetRouterPerPeer = 100", config.Router{SubnetRouterPerPeer: 100}},
		{"recovery", "TCPRecovery = RACK", config.Router{TCPRecovery: config.RecoveryRACK}},
		{"recovery default", "TCPRecovery = rack\nTCPRecovery = sack", config.Router{}},
		{"congestion", "TCPCongestion = reno", config.Router{TCPCongestion: config.CongestionReno}},
		{"congestion default", "TCPCongestion = cubic", config.Router{}},
		{"queues", "Queues = 256", config.Router{Queues: 256}},
		{"queue length", "TxQueueLength = 1", config.Router{TxQueueLength: 1}},
		{"queue length most", "TxQueueLength = 1000000", config.Router{TxQueueLength: 1000000}},
		{"forwarding", "PeerForwarding = On", config.Router{PeerForwarding: config.ForwardingOn}},
		{"forwarding isolated", "PeerForwarding = isolated", config.Router{PeerForwarding: config.ForwardingIsolated}},
		{"forwarding off", "PeerForwarding = on\nPeerForwarding = off", config.Router{}},
		{"switches", "GSO = on\nGRO = off", config.Router{GSO: config.SwitchOn, GRO: config.SwitchOff}},
		{"buffers", "ReceiveBuffer = 4096\nSendBuffer = 7m", config.Router{ReceiveBuffer: 4096, SendBuffer: 7 << 20}},
		{"buffers large", "ReceiveBuffer = 512K\nSendBuffer = 1024M", config.Router{ReceiveBuffer: 512 << 10, SendBuffer: 1 << 30}},
		{"sockets", "Sockets = 1", config.Router{Sockets: 1}},
		{"sockets most", "Sockets = 16", config.Router{Sockets: 16}},
		{"segments", "GSOSegments = 1", config.Router{GSOSegments: 1}},
		{"segments most", "GSOSegments = 64", config.Router{GSOSegments: 64}},
		{"bytes", "GSOBytes = 1", config.Router{GSOBytes: 1}},
		{"bytes most", "GSOBytes = 65535", config.Router{GSOBytes: 65535}},
		{"bytes more than UDP carries", "GSOBytes = 1M", config.Router{GSOBytes: 1 << 20}},
		{"sentinel", "GSOSentinel = On", config.Router{GSOSentinel: config.SwitchOn}},
		{"sentinel off", "GSOSentinel = off", config.Router{GSOSentinel: config.SwitchOff}},
		{"sentinel auto", "GSOSentinel = on\nGSOSentinel = Auto", config.Router{}},
		{"slot", "GROSlot = 2k", config.Router{GROSlot: 2048}},
		{"slot largest", "GROSlot = 64K", config.Router{GROSlot: 65536}},
		{"slot auto", "GROSlot = 4K\nGROSlot = AUTO", config.Router{}},
		{"flush", "FlushTimeout = 50us", config.Router{FlushTimeout: 50 * time.Microsecond}},
		{"flush spaced", "FlushTimeout = 1.5 MS", config.Router{FlushTimeout: 1500 * time.Microsecond}},
		{"flush longest", "FlushTimeout = 1s", config.Router{FlushTimeout: time.Second}},
		{"flush off", "FlushTimeout = 1ms\nFlushTimeout = Off", config.Router{}},
		{"flush zero", "FlushTimeout = 0", config.Router{}},
		{"XDP", "XDP = Auto", config.Router{XDP: config.XDP{On: true}}},
		{"XDP on some queues", "XDP = AUTO:16", config.Router{XDP: config.XDP{On: true, Queues: 16}}},
		{"XDP on an interface", "XDP = eth0", config.Router{XDP: config.XDP{On: true, Interface: "eth0"}}},
		{"XDP on a VLAN", "XDP = eth0.5:1", config.Router{XDP: config.XDP{On: true, Interface: "eth0.5", Queues: 1}}},
		{"XDP on the longest name", "XDP = enp129s0f1np1v0:4", config.Router{XDP: config.XDP{On: true, Interface: "enp129s0f1np1v0", Queues: 4}}},
		{"XDP on an odd name", "XDP = $$=%é@;", config.Router{XDP: config.XDP{On: true, Interface: "$=%é@;"}}},
		{"XDP off", "XDP = eth0\nXDP = Off", config.Router{}},
		{"socket", "ControlSocket = /run/my router.sock", config.Router{ControlSocket: "/run/my router.sock"}},
		{"socket off", "ControlSocket = OFF", config.Router{ControlSocket: config.ControlSocketOff}},
		{"level debug", "LogLevel = debug", config.Router{LogLevel: slog.LevelDebug, LogLevelSet: true}},
		{"level info", "LogLevel = Info", config.Router{LogLevelSet: true}},
		{"level warn", "LogLevel = warn", config.Router{LogLevel: slog.LevelWarn, LogLevelSet: true}},
		{"level error", "LogLevel = error", config.Router{LogLevel: slog.LevelError, LogLevelSet: true}},
		{"level of rooms", "LogLevel = Peers = Debug,warn , netstack=info", config.Router{
			LogLevel: slog.LevelWarn, LogLevelSet: true, LogRooms: []config.RoomLevel{{"netstack", slog.LevelInfo}, {"peers", slog.LevelDebug}},
		}},
		{"level of a room only", "LogLevel = tun=error", config.Router{LogRooms: []config.RoomLevel{{"tun", slog.LevelError}}}},
		{"levels given again", "LogLevel = warn, tun=error\nLogLevel = hub=debug", config.Router{LogRooms: []config.RoomLevel{{"hub", slog.LevelDebug}}}},
		{"metrics", "Metrics = 127.0.0.1:9586", config.Router{Metrics: config.Metrics{Listen: "127.0.0.1:9586"}}},
		{"metrics on localhost", "Metrics = LocalHost : 1", config.Router{Metrics: config.Metrics{Listen: "localhost:1"}}},
		{"metrics on a socket", "Metrics = unix:/run/my router.http", config.Router{Metrics: config.Metrics{Listen: "unix:/run/my router.http"}}},
		{"metrics off", "Metrics = [::]:1\nMetrics = Off", config.Router{}},
		{"metrics for others", "Metrics = [2001:DB8:0::1]:1\nMetricsToken = 0123456789abcdef", config.Router{
			Metrics: config.Metrics{Listen: "[2001:db8::1]:1", Token: "0123456789abcdef"},
		}},
		{"metrics with a file", "Metrics = 0.0.0.0:1\nMetricsToken = 0123456789abcdef\nMetricsToken = /etc/my token", config.Router{
			Metrics: config.Metrics{Listen: "0.0.0.0:1", TokenFile: "/etc/my token"},
		}},
		{"metrics of some", "MetricsPeers = off\nMetricsPeers = 7", config.Router{Metrics: config.Metrics{Peers: 7}}},
		{"metrics of none", "MetricsPeers = OFF", config.Router{Metrics: config.Metrics{Peers: config.MetricsPeersOff}}},
		{"metrics of all", "MetricsPeers = 7\nMetricsPeers = all", config.Router{}},
		{"log as text", "LogFormat = Text", config.Router{LogFormat: config.LogFormatText}},
		{"log as JSON", "LogFormat = JSON", config.Router{LogFormat: config.LogFormatJSON}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := mustParse(t, "[Interface]\nPrivateKey = "+testPrivate+"\n[router]\n"+tt.text)
			if diff := cmp.Diff(tt.want, c.Router, same()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestExamples parses the files that people copy: without a warning.
func TestExamples(t *testing.T) {
	paths, err := filepath.Glob("testdata/files/*.conf")
	if err != nil || len(paths) == 0 {
		t.Fatalf("Glob = %v, %v", paths, err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			plain := mustParse(t, string(data))
			if len(plain.Warnings) > 0 {
				t.Errorf("warnings:\n%s", lines(plain.Warnings))
			}
			windows := mustParse(t, "\ufeff"+strings.ReplaceAll(string(data), "\n", "\r\n"))
			if diff := cmp.Diff(plain, windows, same()); diff != "" {
				t.Errorf("with byte order mark and CRLF (-LF +CRLF):\n%s", diff)
			}
		})
	}
}

// TestPeersAreMerged has wg's own result: setconf of the same text, then showconf.
func TestPeersAreMerged(t *testing.T) {
	c := mustParse(t, `[Interface]
PrivateKey = `+testPrivate+`
[Peer]
PublicKey = `+peerA+`
PresharedKey = `+testPSK+`
Endpoint = 192.0.2.1:1
PersistentKeepalive = 25
AllowedIPs = 10.0.0.0/24, 10.7.0.0/24
[Peer]
PublicKey = `+peerB+`
AllowedIPs = 10.7.0.0/24, 10.1.0.0/24, 10.2.0.0/24
[Peer]
PublicKey = `+testPublic+`
AllowedIPs = 10.1.0.0/24
[Peer]
PublicKey = `+peerA+`
AllowedIPs = 10.2.0.0/24
PersistentKeepalive = off
`)
	want := []config.Peer{{
		PublicKey:    mustKey(t, peerA),
		PresharedKey: mustKey(t, testPSK),
		Endpoint:     config.Endpoint{Host: "192.0.2.1", Port: 1},
		AllowedIPs:   prefixes("10.2.0.0/24"),
	}, {
		PublicKey:  mustKey(t, peerB),
		AllowedIPs: prefixes("10.7.0.0/24", "10.1.0.0/24"),
	}}
	if diff := cmp.Diff(want, c.Peers, same()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestAllowedIPOfReplacedPeer: a range that the first section of a peer held is free
// again for others when a later section replaces it.
func TestAllowedIPOfReplacedPeer(t *testing.T) {
	c := mustParse(t, `[Interface]
PrivateKey = `+testPrivate+`
[Peer]
PublicKey = `+peerA+`
AllowedIPs = 10.0.0.0/24
[Peer]
PublicKey = `+peerA+`
[Peer]
PublicKey = `+peerB+`
AllowedIPs = 10.0.0.0/24
`)
	if len(c.Warnings) != 1 || c.Warnings[0].Line != 7 {
		t.Errorf("warnings:\n%s", lines(c.Warnings))
	}
	if len(c.Peers[0].AllowedIPs) != 0 || len(c.Peers[1].AllowedIPs) != 1 {
		t.Errorf("AllowedIPs = %v and %v", c.Peers[0].AllowedIPs, c.Peers[1].AllowedIPs)
	}
}

func TestParseReadError(t *testing.T) {
	broken := errors.New("broken")
	c, err := config.Parse(iotest.ErrReader(broken), "wg0.conf")
	if c != nil || !errors.Is(err, broken) {
		t.Errorf("Parse = %v, %v, want nil, %v", c, err, broken)
	}
}

// TestParseTooLong reads a source without an end.
func TestParseTooLong(t *testing.T) {
	c, err := config.Parse(endless{}, "wg0.conf")
	if c != nil || err == nil || !strings.Contains(err.Error(), "longer than 16 MiB") {
		t.Errorf("Parse = %v, %v", c, err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '\n'
	}
	return len(p), nil
}

func TestStrings(t *testing.T) {
	for got, want := range map[string]string{
		config.TableAuto.String():                                 "auto",
		config.TableOff.String():                                  "off",
		config.TableID.String():                                   "id",
		config.Table{Mode: config.TableID, Name: "main"}.String(): "main",
		config.Table{Mode: config.TableID, ID: 254}.String():      "254",
		config.ModeTUN.String():                                   "tun",
		config.ModeNetstack.String():                              "netstack",
		config.SwitchUnset.String():                               "unset",
		config.SwitchOn.String():                                  "on",
		config.Endpoint{}.String():                                "",
		config.Endpoint{Host: "2001:db8::1", Port: 5}.String():    "[2001:db8::1]:5",
		config.Endpoint{Host: "a.example", Port: 5}.String():      "a.example:5",
	} {
		if got != want {
			t.Errorf("String() = %q, want %q", got, want)
		}
	}
}

func TestEndpointAddrPort(t *testing.T) {
	tests := []struct {
		host, want string
	}{
		{"192.0.2.1", "192.0.2.1:5"},
		{"::ffff:192.0.2.1", "192.0.2.1:5"},
		{"2001:db8::1", "[2001:db8::1]:5"},
		{"fe80::1%eth0", "[fe80::1%eth0]:5"},
		{"a.example", ""},
		{"", ""},
	}
	for _, tt := range tests {
		got, ok := config.Endpoint{Host: tt.host, Port: 5}.AddrPort()
		if ok != (tt.want != "") || ok && got.String() != tt.want {
			t.Errorf("AddrPort of %q = %v, %t, want %q", tt.host, got, ok, tt.want)
		}
	}
}
