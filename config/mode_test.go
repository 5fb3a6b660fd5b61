// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/config"
)

func TestMode(t *testing.T) {
	tun, netstack := config.ModeTUN, config.ModeNetstack
	const conflict = "; remove Mode = tun, or write Mode = netstack"
	const forced = " needs netstack mode, and the mode is tun; use netstack mode, or remove it"
	tests := []struct {
		name, text string
		override   *config.Mode
		mode       config.Mode
		set        bool
		problem    string
	}{
		{"nothing", "", nil, tun, false, ""},
		{"stated", "[Router]\nMode = netstack", nil, netstack, true, ""},
		{"section", socks, nil, netstack, false, ""},
		{"subnets", "[Router]\nSubnetRouter = 10.0.0.0/8", nil, netstack, false, ""},
		{"subnets off", "[Router]\nSubnetRouter = off", nil, tun, false, ""},
		{"both", "[Router]\nMode = netstack\n" + socks, nil, netstack, true, ""},
		{"conflict", "[Router]\nMode = tun\n" + socks, nil, 0, false, "wg0.conf:8: [Socks5]: needs netstack mode, and line 7 says Mode = tun" + conflict},
		{"conflict before", socks + "[Router]\nMode = tun\nSubnetRouter = on", nil, 0, false,
			"wg0.conf:6: [Socks5]: needs netstack mode, and line 9 says Mode = tun; so does one more line" + conflict},
		{"override", "", &netstack, netstack, true, ""},
		{"override tun", "[Router]\nMode = tun\n" + socks, &netstack, netstack, true, ""},
		{"override netstack", "[Router]\nMode = netstack", &tun, tun, true, ""},
		{"override section", socks, &tun, 0, false, "wg0.conf:6: [Socks5]:" + forced},
		{"override subnets", "[Router]\nSubnetRouter = on", &tun, 0, false, "wg0.conf:7: SubnetRouter:" + forced},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := config.ParseWith(strings.NewReader(netstackHead+tt.text), "wg0.conf", &config.LoadOptions{Mode: tt.override})
			if tt.problem != "" {
				if err == nil || err.Error() != tt.problem {
					t.Errorf("ParseWith = %v, want %s", err, tt.problem)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if c.Router.Mode != tt.mode || c.Router.ModeSet != tt.set {
				t.Errorf("Mode, ModeSet = %s, %t, want %s, %t", c.Router.Mode, c.Router.ModeSet, tt.mode, tt.set)
			}
			if err := c.CheckMode(); err != nil {
				t.Errorf("CheckMode = %v", err)
			}
			checkWritten(t, c)
		})
	}
}

func TestCheckMode(t *testing.T) {
	c := mustParse(t, netstackHead+"[Router]\nSubnetRouter = on\n"+socks)
	c.Path = "/etc/wireguard/wg0.conf"
	c.Router.Mode = config.ModeTUN
	var e *config.Error
	err := c.CheckMode()
	want := "/etc/wireguard/wg0.conf:7: SubnetRouter: needs netstack mode, and the mode is tun; so does one more line; use netstack mode, or remove it"
	if !errors.As(err, &e) || err.Error() != want {
		t.Errorf("CheckMode = %v, want %s", err, want)
	}
	if err := c.Validate(); !errors.As(err, &e) || e.Problems[0].Key != "SubnetRouter" {
		t.Errorf("Validate = %v", err)
	}
}
