// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/config"
)

// FuzzProxy gives a section of Proxy any values, some of which come from the environment.
func FuzzProxy(f *testing.F) {
	f.Add("Socks5", "127.0.0.1:1080", "", "me", "$V", "UDP = off", "secret")
	f.Add("http", "[::]:0", "", "`a;b`", "$$x", "CertFile = \"a\"\nKeyFile = $V", "a # b")
	f.Add("tcpclienttunnel", "localhost:1", "a.example:22", "", "", "MaxConnections = 5", "")
	f.Add("TCPServerTunnel", "", ":80", "", "", "ListenPort = $V", "65535")
	f.Add("UDPProxyTunnel", ":53", "[fe80::1%a]:53", "", "", "InactivityTimeout = 0", "`")
	f.Add("Resolve", "", "", "", "", "ResolveStrategy = ipv4", "")
	f.Add("Router", "", "", "", "", "SubnetRouter = on, 10.0.0.0/8", "\"\"\"'`")
	f.Fuzz(func(t *testing.T, section, bind, target, username, password, more, variable string) {
		text := "[Interface]\nPrivateKey = " + testPrivate + "\n[" + section + "]\n" + more + "\n"
		for _, l := range [][2]string{{"BindAddress", bind}, {"Target", target}, {"Username", username}, {"Password", password}} {
			if l[1] != "" {
				text += l[0] + " = " + l[1] + "\n"
			}
		}
		c, err := config.ParseWith(strings.NewReader(text), "fuzz.conf", environment("V", variable))
		if err != nil {
			checkError(t, c, err, nil)
			return
		}
		checkWritten(t, c)
	})
}

// FuzzWriteProxy is FuzzWrite for the sections of Proxy.
func FuzzWriteProxy(f *testing.F) {
	f.Add("127.0.0.1", "a.example", "me", "secret", "cert.pem", uint16(1080), int64(30e9), 5)
	f.Add("localhost", "fd00::1", "$a", " `#; ", "\"a\"", uint16(0), int64(1), 0)
	f.Add("::1\n[http]", "a]:5\n", "a\nUsername = b", "\"\"\"", "'a", uint16(1), int64(0), -1)
	f.Fuzz(func(t *testing.T, bind, target, username, password, file string, port uint16, timeout int64, limit int) {
		at, to := config.Endpoint{Host: bind, Port: port}, config.Endpoint{Host: target, Port: 22}
		c := &config.Config{
			Interface: config.Interface{PrivateKey: mustKey(t, testPrivate)},
			Peers:     []config.Peer{{PublicKey: mustKey(t, peerA)}},
			Router:    config.Router{Mode: config.ModeNetstack},
			Proxy: config.Proxy{
				SOCKS5: []config.SOCKS5{{BindAddress: at, Username: username, Password: config.Secret(password), MaxConnections: limit}},
				HTTP:   []config.HTTP{{BindAddress: host("127.0.0.1", 0), CertFile: file, KeyFile: file}},
				UDPServer: []config.UDPForward{{BindAddress: host("", 53), Target: to,
					InactivityTimeout: time.Duration(timeout), InactivityTimeoutSet: timeout != 0}},
			},
		}
		if err := c.Validate(); err != nil {
			var e *config.Error
			if !errors.As(err, &e) || len(e.Problems) == 0 {
				t.Fatalf("Validate = %#v", err)
			}
			return
		}
		checkWritten(t, c)
	})
}
