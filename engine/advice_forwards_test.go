// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine_test

import (
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/engine"
)

func TestForwardsFor(t *testing.T) {
	const base = `[Interface]
PrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=
Address = 10.0.0.1/24, fd00::1/64
HOOK
[Peer]
PublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
AllowedIPs = 10.0.0.2/32, fd00::2/128, 192.168.7.0/24
[Router]
Mode = tun
[Filter]
RULE
`
	const one = "PostUp = "
	for _, tt := range []struct {
		name, hook, rule string
		four, six        bool
	}{
		{"nothing said", "", "", false, false},
		{"as in many guides", one + "iptables -A FORWARD -i %i -j ACCEPT; iptables -t nat -A POSTROUTING -o eth0 -j MASQUERADE", "", true, false},
		{"of both families on one line", one + "iptables -w -A FORWARD -i %i -j ACCEPT; ip6tables -w -A FORWARD -i %i -j ACCEPT", "", true, true},
		{"of one after the other", one + "iptables -A INPUT -j ACCEPT && /usr/sbin/ip6tables-nft -A FORWARD -i %i -j ACCEPT", "", false, true},
		{"source address", one + "/sbin/iptables-legacy -t nat -A POSTROUTING -o eth0 -j SNAT --to-source 192.0.2.1", "", true, false},
		{"nft", one + "nft add rule inet filter forward iifname %i accept", "", true, true},
		{"nft of several statements", one + "nft 'add table ip wg; add rule ip wg post oifname eth0 masquerade'", "", true, true},
		{"in a shell", one + "sh -c 'iptables -A FORWARD -i %i -j ACCEPT'", "", true, false},
		{"what forbids it", one + "iptables -A FORWARD -i %i -j DROP", "", false, false},
		{"what the host gets", one + "iptables -A INPUT -i %i -j ACCEPT", "", false, false},
		{"when it ends", "PostDown = iptables -D FORWARD -i %i -j ACCEPT", "", false, false},
		{"another program", one + "logger forward accept", "", false, false},

		{"a network behind the host", "", "Allow = from any to 192.168.1.0/24", true, false},
		{"from there", "", "Allow = from 2001:db8::/64 to peers", false, true},
		{"one denied", "", "Deny = from any to 192.168.1.0/24", false, false},
		{"an address of the host", "", "Allow = from any to 192.168.1.5 proto tcp port 22", false, false},
		{"a network of a peer", "", "Allow = from any to 192.168.7.128/25, 192.168.6.0/23", false, false},
		{"of the tunnel", "", "Allow = from 10.0.0.0/24, fd00::/64 to host", false, false},
		{"everything", "", "Allow = from 0.0.0.0/0, ::/0 to 0.0.0.0/0, ::/0", false, false},
		{"any", "", "Allow = any", false, false},
		{"a network of the peer that has all", "Table = off\n\n[Peer]\nPublicKey = TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=\nAllowedIPs = 0.0.0.0/0",
			"Allow = from host to 192.168.1.0/24", false, false},
	} {
		cfg, err := config.Parse(strings.NewReader(strings.NewReplacer("HOOK", tt.hook, "RULE", tt.rule).Replace(base)), "wg0.conf")
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if four, six := engine.ForwardsFor(cfg); four != tt.four || six != tt.six {
			t.Errorf("%s: forwards IPv4 %v, IPv6 %v, want %v, %v", tt.name, four, six, tt.four, tt.six)
		}
	}
}
