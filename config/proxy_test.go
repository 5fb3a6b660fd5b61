// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tunrouter/tunrouter/config"
)

// netstackHead is the beginning of files in netstack mode, of lines 1 to 5.
const netstackHead = "[Interface]\nPrivateKey = " + testPrivate + "\n[Peer]\nPublicKey = " + peerA + "\nAllowedIPs = 10.0.0.0/24\n"

func host(name string, port uint16) config.Endpoint { return config.Endpoint{Host: name, Port: port} }

// TestWireproxy parses a file of wireproxy with all of its sections.
func TestWireproxy(t *testing.T) {
	text := readFile(t, "testdata/wireproxy.conf")
	want := config.Config{
		Interface: config.Interface{
			PrivateKey: mustKey(t, testPrivate), Addresses: prefixes("10.200.200.2/32"), DNS: addrs("10.200.200.1", "10.200.200.3"),
		},
		Peers: []config.Peer{{
			PublicKey: mustKey(t, peerA), Endpoint: host("vpn.example.com", 51820), AllowedIPs: prefixes("0.0.0.0/0", "::/0"),
		}},
		Router: config.Router{Mode: config.ModeNetstack},
		Proxy: config.Proxy{
			SOCKS5: []config.SOCKS5{{BindAddress: host("127.0.0.1", 25344), Username: "me", Password: "p;#w"}},
			HTTP:   []config.HTTP{{BindAddress: host("127.0.0.1", 25345)}},
			TCPClient: []config.TCPForward{
				{BindAddress: host("127.0.0.1", 25565), Target: host("play.example.com", 25565)},
				{BindAddress: host("localhost", 25566), Target: host("play.example.com", 25566)},
			},
			TCPServer: []config.TCPForward{{BindAddress: host("", 3422), Target: host("localhost", 25545)}},
			UDPClient: []config.UDPForward{{
				BindAddress: host("127.0.0.1", 5353), Target: host("10.200.200.1", 53), InactivityTimeout: time.Minute, InactivityTimeoutSet: true,
			}},
			STDIO:   &config.STDIO{Target: host("ssh.example.net", 22)},
			Resolve: config.Resolve{Strategy: config.ResolveIPv4},
		},
	}
	for name, text := range map[string]string{"LF": text, "CRLF": "\ufeff" + strings.ReplaceAll(text, "\n", "\r\n")} {
		c, err := config.ParseWith(strings.NewReader(text), "wireproxy.conf", environment("PROXY_USER", "me", "PROXY_PASSWORD", "p;#w"))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(&want, c, same()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		const warning = "wireproxy.conf:10: AllowedIPs: missing; the only peer gets everything; write AllowedIPs = 0.0.0.0/0, ::/0, or fewer\n"
		if got := lines(c.Warnings); got != warning {
			t.Errorf("%s: warnings:\n%s", name, got)
		}
		checkWritten(t, c)
		if got := c.Proxy.SOCKS5[0].Line; got != 33 {
			t.Errorf("%s: Line = %d, want 33", name, got)
		}
	}
}

// TestDefaultRanges: only one peer that says nothing of AllowedIPs, and only in a file with
// a section of Proxy, gets everything.
func TestDefaultRanges(t *testing.T) {
	const socks, key, peer = "[Socks5]\nBindAddress=127.0.0.1:1\n", "[Interface]\nPrivateKey = " + testPrivate + "\n", "[Peer]\nPublicKey = "
	tests := []struct {
		name, text string
		want       []int // AllowedIPs of each peer
	}{
		{"alone", key + peer + peerA + "\n" + socks, []int{2}},
		{"section before", socks + key + peer + peerA, []int{2}},
		{"resolve", key + peer + peerA + "\n[Resolve]", []int{2}},
		{"without a proxy", key + peer + peerA, []int{0}},
		{"subnet router", key + "[Router]\nSubnetRouter = on\n" + peer + peerA, []int{0}},
		{"empty", key + peer + peerA + "\nAllowedIPs =\n" + socks, []int{0}},
		{"given", key + peer + peerA + "\nAllowedIPs = 10.0.0.0/8\n" + socks, []int{1}},
		{"two", key + peer + peerA + "\n" + peer + peerB + "\n" + socks, []int{0, 0}},
		{"itself", key + peer + testPublic + "\n" + socks, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := mustParse(t, tt.text)
			var got []int
			for _, p := range c.Peers {
				got = append(got, len(p.AllowedIPs))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("AllowedIPs (-want +got):\n%s", diff)
			}
			checkWritten(t, c)
		})
	}
}

// TestProxyKeys reads each form of each key of the sections of Proxy.
func TestProxyKeys(t *testing.T) {
	local := host("127.0.0.1", 1080)
	socks := func(s config.SOCKS5) config.Proxy { return config.Proxy{SOCKS5: []config.SOCKS5{s}} }
	at := func(e config.Endpoint) config.Proxy { return socks(config.SOCKS5{BindAddress: e}) }
	to := func(e config.Endpoint) config.Proxy { return config.Proxy{STDIO: &config.STDIO{Target: e}} }
	udp := func(d time.Duration, set bool) config.Proxy {
		return config.Proxy{UDPServer: []config.UDPForward{{BindAddress: host("", 5), Target: host("a.example", 6), InactivityTimeout: d, InactivityTimeoutSet: set}}}
	}
	resolve := func(s config.ResolveStrategy) config.Proxy { return config.Proxy{Resolve: config.Resolve{Strategy: s}} }
	password := func(p config.Secret) config.Proxy {
		return socks(config.SOCKS5{BindAddress: local, Username: "me", Password: p})
	}
	const head, credentials = "[socks5]\nbindaddress = 127.0.0.1:1080\n", "[Socks5]\nBindAddress = 127.0.0.1:1080\nUsername = me\nPassword = "
	tests := []struct {
		name, text string
		want       config.Proxy
	}{
		{"nothing", "", config.Proxy{}},
		{"address", head, at(local)},
		{"address v6", "[Socks5]\nBindAddress = [0::1]:1080", at(host("::1", 1080))},
		{"address mapped", "[Socks5]\nBindAddress = [::ffff:127.0.0.1]:1080", at(local)},
		{"address zone", "[Socks5]\nBindAddress = [fe80::1%eth0]:1080", at(host("fe80::1%eth0", 1080))},
		{"address of all", "[Socks5]\nBindAddress = 0.0.0.0:0", at(host("0.0.0.0", 0))},
		{"localhost", "[Socks5]\nBindAddress = LocalHost:1080", at(host("localhost", 1080))},
		{"no address", "[Socks5]\nBindAddress = :1080", at(local)},
		{"port alone", "[Socks5]\nBindAddress = 1080", at(local)},
		{"port chosen", "[Socks5]\nBindAddress = :0", at(host("127.0.0.1", 0))},
		{"udp", head + "UDP = Off", socks(config.SOCKS5{BindAddress: local, UDP: config.SwitchOff})},
		{"udp on", head + "UDP = on", socks(config.SOCKS5{BindAddress: local, UDP: config.SwitchOn})},
		{"limits", head + "MaxConnections = 10\nMaxPerClient = 5", socks(config.SOCKS5{BindAddress: local, MaxConnections: 10, MaxPerClient: 5})},
		{"limits default", head + "MaxConnections = 0\nMaxPerClient = 0", at(local)},
		{"credentials empty", head + "Username =\nPassword = # none", at(local)},
		{"password", credentials + "a b=c", password("a b=c")},
		{"password with comments", credentials + "a # b", password("a")},
		{"password with other comments", credentials + "a;b # c", password("a")},
		{"password in quotes", credentials + "\" a \" ; b", password(" a ")},
		{"password in single quotes", credentials + "'a b'", password("a b")},
		{"password with a quote", credentials + "'a'b'", password("'a'b'")},
		{"password with one quote", credentials + "\"", password("\"")},
		{"password in back quotes", credentials + "`a # b ; c` # d", password("a # b ; c")},
		{"password in back quotes, padded", credentials + "` a `", password(" a ")},
		{"password in open back quotes", credentials + "`a", password("`a")},
		{"password beside back quotes", credentials + "`a`b", password("`a`b")},
		{"password in three quotes", credentials + "\"\"\"a`#\"b\"\"\"", password("a`#\"b")},
		{"password with a dollar", credentials + "$$a$b", password("$a$b")},
		{"password with a quoted dollar", credentials + "`$$#`", password("$#")},
		{"target", "[STDIOTunnel]\nTarget = a.Example:22", to(host("a.Example", 22))},
		{"target v4", "[STDIOTunnel]\nTarget = 10.0.0.1:22", to(host("10.0.0.1", 22))},
		{"target v6", "[STDIOTunnel]\nTarget = [FD00::1]:65535", to(host("fd00::1", 65535))},
		{"server", "[TCPServerTunnel]\nListenPort = 1\nTarget = :80",
			config.Proxy{TCPServer: []config.TCPForward{{BindAddress: host("", 1), Target: host("localhost", 80)}}}},
		{"timeout", "[UDPServerTunnel]\nListenPort=5\nTarget=a.example:6\nInactivityTimeout = 90", udp(90*time.Second, true)},
		{"timeout never", "[UDPServerTunnel]\nListenPort=5\nTarget=a.example:6\nInactivityTimeout = 0", udp(0, true)},
		{"timeout unset", "[UDPServerTunnel]\nListenPort=5\nTarget=a.example:6", udp(0, false)},
		{"resolve", "[resolve]", resolve(config.ResolveAuto)},
		{"resolve auto", "[Resolve]\nResolveStrategy = AUTO", resolve(config.ResolveAuto)},
		{"resolve v4", "[Resolve]\nResolveStrategy = ipv4", resolve(config.ResolveIPv4)},
		{"resolve v6", "[Resolve]\nResolveStrategy = ipv6", resolve(config.ResolveIPv6)},
		{"comments", "; one\n[Socks5] ; two\n ; three\nBindAddress = 127.0.0.1:1080 ; four", at(local)},
		{"files", "[http]\nBindAddress = 127.0.0.1:1080\nCertFile = my cert.pem\nKeyFile = '/etc/my key'",
			config.Proxy{HTTP: []config.HTTP{{BindAddress: local, CertFile: "my cert.pem", KeyFile: "/etc/my key"}}}},
		{"same port of both", "[TCPServerTunnel]\nListenPort=1\nTarget=a.example:1\n[UDPServerTunnel]\nListenPort=1\nTarget=a.example:1",
			config.Proxy{
				TCPServer: []config.TCPForward{{BindAddress: host("", 1), Target: host("a.example", 1)}},
				UDPServer: []config.UDPForward{{BindAddress: host("", 1), Target: host("a.example", 1)}},
			}},
		{"chosen port twice", "[Socks5]\nBindAddress=:0\n[Socks5]\nBindAddress=:0",
			config.Proxy{SOCKS5: []config.SOCKS5{{BindAddress: host("127.0.0.1", 0)}, {BindAddress: host("127.0.0.1", 0)}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := mustParse(t, netstackHead+tt.text)
			if diff := cmp.Diff(tt.want, c.Proxy, same()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if netstack := c.Router.Mode == config.ModeNetstack; netstack == c.Proxy.Empty() {
				t.Errorf("Mode = %s with Proxy %+v", c.Router.Mode, c.Proxy)
			}
			checkWritten(t, c)
		})
	}
}

// TestPasswordsAreHidden prints a Config in every way that a log may.
func TestPasswordsAreHidden(t *testing.T) {
	c := mustParse(t, netstackHead+"[Socks5]\nBindAddress = :1\nUsername = me\nPassword = hunter2\n[http]\nBindAddress = :2\nUsername = me\nPassword = hunter2\n")
	var out bytes.Buffer
	for _, v := range []any{c, *c, c.Proxy, c.Proxy.SOCKS5, c.Proxy.HTTP[0], &c.Proxy.SOCKS5[0], c.Proxy.SOCKS5[0].Password, config.Diff(nil, c)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb, v)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("text", "value", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("JSON", "value", v)
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(text)
	}
	for _, secret := range []string{"hunter2", "68756e74657232"} {
		if i := strings.Index(out.String(), secret); i >= 0 {
			t.Errorf("%q in ...%s", secret, out.String()[max(0, i-100):i])
		}
	}
	if !strings.Contains(out.String(), "(hidden)") || fmt.Sprint(config.Secret("")) != "" {
		t.Error("no sign of a password, or one of none")
	}
	if !strings.Contains(written(t, c), "Password = hunter2\n") {
		t.Error("the password is not in the file")
	}
}

// TestCredentialsLength: SOCKS5 counts 255 bytes.
func TestCredentialsLength(t *testing.T) {
	const head = netstackHead + "[Socks5]\nBindAddress = :1\n"
	long := strings.Repeat("x", 255)
	c := mustParse(t, head+"Username = "+long+"\nPassword = "+long)
	if s := c.Proxy.SOCKS5[0]; s.Username != long || string(s.Password) != long {
		t.Error("255 bytes do not come back")
	}
	want := "wg0.conf:8: Username: 256 bytes are too long for a user name; write at most 255\n" +
		"wg0.conf:9: Password: 256 bytes are too long for a password; write at most 255\n"
	if got := lines(problems(t, head+"Username = "+long+"x\nPassword = "+long+"x")); got != want {
		t.Errorf("problems:\n%s", got)
	}
}
