// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/config"
)

const file = `[Interface]
PrivateKey = aAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAEE=
Address = 10.0.0.1/24, fd00::1/64
ListenPort = 51820

[Peer]
PublicKey = AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
PresharedKey = AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
Endpoint = 192.0.2.1:51820
AllowedIPs = 10.0.0.2/32, fd00::/64
PersistentKeepalive = 25
`

// TestSettings says that everything of the file reaches the device.
func TestSettings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wg0.conf")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	want := "private_key=68" + strings.Repeat("00", 30) + "41\nlisten_port=51820\n" +
		"public_key=01" + strings.Repeat("00", 31) + "\npersistent_keepalive_interval=25\n" +
		"preshared_key=02" + strings.Repeat("00", 31) + "\nendpoint=192.0.2.1:51820\nallowed_ip=10.0.0.2/32\nallowed_ip=fd00::/64\n"
	if got := settings(cfg); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	tunnel, err := open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	tunnel.close()
}

func TestForwardFlag(t *testing.T) {
	var f forwards
	if err := f.Set("127.0.0.1:80=[fd00::1]:80"); err != nil || f[0] != (forward{"127.0.0.1:80", "[fd00::1]:80"}) {
		t.Errorf("got %v, %v", f, err)
	}
	for _, bad := range []string{"", "80", "=1.2.3.4:80", "80="} {
		if err := f.Set(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
