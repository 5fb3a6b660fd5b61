// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/config"
)

const socks = "[Socks5]\nBindAddress = 127.0.0.1:1080\n"

// folder makes a directory with files, given as name and text.
func folder(t *testing.T, files ...string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(files); i += 2 {
		place(t, filepath.Join(dir, files[i]), files[i+1], 0o600)
	}
	return dir
}

func TestWGConfig(t *testing.T) {
	work := folder(t, "here.wg", smallest+"MTU = 1300\n", "both.wg", smallest+"MTU = 1301\n", "here.pem", "")
	dir := folder(t, "beside.wg", smallest+"MTU = 1302 ; bytes\nPostUp = a;b\n[Peer]\nPublicKey = "+peerA+"\n", "both.wg", smallest+"MTU = 1303\n")
	t.Chdir(work)
	tests := []struct {
		name, text string
		mtu        int
	}{
		{"beside", "WGConfig = beside.wg\n" + socks, 1302},
		{"quoted", "; the tunnel\nwgconfig = \"beside.wg\" # of us\n" + socks, 1302},
		{"here", "WGConfig = here.wg\n" + socks, 1300},
		{"both", "WGConfig = both.wg\n" + socks, 1303},
		{"absolute", "WGConfig = " + filepath.Join(work, "both.wg") + "\n" + socks, 1301},
		{"environment", "WGConfig = $WG\n" + socks, 1302},
		{"tun", "WGConfig = here.wg\n[Router]\nLogLevel = info", 1300},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(dir, "wg0.conf")
			place(t, path, tt.text, 0o600)
			c, err := config.LoadWith(path, environment("WG", "beside.wg"))
			if err != nil {
				t.Fatal(err)
			}
			if c.Interface.MTU != tt.mtu {
				t.Errorf("MTU = %d, want %d", c.Interface.MTU, tt.mtu)
			}
			if tt.mtu == 1302 && (len(c.Peers) != 1 || len(c.Peers[0].AllowedIPs) != 2 || c.Interface.PostUp[0] != "a;b") {
				t.Errorf("Interface, Peers = %+v, %+v", c.Interface, c.Peers)
			}
			c.Name = ""
			checkWritten(t, c)
		})
	}

	t.Run("certificate", func(t *testing.T) {
		path := filepath.Join(dir, "wg0.conf")
		place(t, path, smallest+"[http]\nBindAddress = :1\nCertFile = here.pem\nKeyFile = none/key.pem\n", 0o600)
		c, err := config.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if s := c.Proxy.HTTP[0]; s.CertFile != filepath.Join(work, "here.pem") || s.KeyFile != filepath.Join(dir, "none/key.pem") {
			t.Errorf("CertFile, KeyFile = %q, %q", s.CertFile, s.KeyFile)
		}
	})
}

func TestWGConfigProblems(t *testing.T) {
	tests := []struct {
		name, text, included string
		want                 []string // MAIN and WG stand for the paths
	}{
		{"missing", "WGConfig = none.wg\n" + socks, "", []string{
			`MAIN:1: WGConfig: cannot read "none.wg": no such file or directory; write a path relative to the folder of this file, or an absolute one`}},
		{"mistakes in both", "WGConfig = wg.conf\n[Socks5]\n", "[Interface]\nMTU = x\n[Peer]\nAllowedIPs = ::/0\n", []string{
			"MAIN:2: BindAddress: missing; write for example BindAddress = 127.0.0.1:1080 below this [Socks5]",
			"WG:1: PrivateKey: missing; make a key with router genkey and write PrivateKey = KEY below [Interface]",
			`WG:2: MTU: "x" is not an MTU; write a number from 68 to 65535, or leave it out for the automatic one`,
			"WG:3: PublicKey: missing; write PublicKey = KEY below this [Peer]"}},
		{"other sections", "WGConfig = wg.conf\n" + socks, smallest + "[Filter]\nAllow = any\n[http]\nx = y\n", []string{
			"WG:3: [Filter]: only [Interface] and [Peer] are read from the file of WGConfig; move it to the file that has WGConfig",
			"WG:5: [http]: only [Interface] and [Peer] are read from the file of WGConfig; move it to the file that has WGConfig"}},
		{"nested", "WGConfig = wg.conf\n", "WGConfig = wg.conf\n" + smallest, []string{
			"WG:1: WGConfig: only stands at the beginning of the file that router is given; remove it"}},
		{"outside", "WGConfig = wg.conf\n", "x = y\n" + smallest, []string{"WG:1: line outside of any section; write [Interface] above it"}},
		{"binary", "WGConfig = wg.conf\n", "\x00", []string{"WG:1: zero byte; this is not a text file; check that it is the right file"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := folder(t, "main.conf", tt.text, "wg.conf", tt.included)
			main, wg := filepath.Join(dir, "main.conf"), filepath.Join(dir, "wg.conf")
			_, err := config.Load(main)
			var e *config.Error
			if !errors.As(err, &e) {
				t.Fatalf("Load = %v", err)
			}
			want := strings.NewReplacer("MAIN", main, "WG:", wg+":").Replace(strings.Join(tt.want, "\n"))
			if err.Error() != want {
				t.Errorf("Load:\n%v\nwant:\n%s", err, want)
			}
		})
	}
}

// TestWGConfigWarnings: sections that are not used, and a file that everybody reads.
func TestWGConfigWarnings(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the mode says nothing about access there")
	}
	dir := folder(t, "main.conf", "WGConfig = wg.conf\n[Interface]\nMTU = 1300\n"+socks, "wg.conf", smallest+"ListenPort = 1\nListenPort = 2\n")
	for path, mode := range map[string]os.FileMode{dir: 0o755, filepath.Join(dir, "wg.conf"): 0o644} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	c, err := config.Load(filepath.Join(dir, "main.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Interface.MTU != 0 || c.Interface.ListenPort != 2 {
		t.Errorf("Interface = %+v", c.Interface)
	}
	want := dir + "/main.conf:2: [Interface]: not used: line 1 has it read from another file; remove it, or WGConfig\n" +
		dir + "/wg.conf: everybody can access the keys in it (mode 0644); run chmod 600 " + dir + "/wg.conf\n" +
		dir + "/wg.conf:4: ListenPort: also given in line 3; the last one counts; remove one of the two\n"
	if got := lines(c.Warnings); got != want {
		t.Errorf("warnings:\n%swant:\n%s", got, want)
	}
}
