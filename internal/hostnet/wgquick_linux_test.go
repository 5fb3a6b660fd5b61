// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tunrouter/tunrouter/internal/hostnet"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// What wg-quick makes of a configuration file is what this package is to make
// of it. The real one runs here, in a namespace like the other, with
// wireguard-go and with its sockets in a mount namespace of its own; what
// iproute2 and nft show of the two namespaces must be the same. wg-quick before
// 2025 takes the largest MTU of several endpoints instead of the smallest, so
// the files have one endpoint.
func TestSameAsWGQuick(t *testing.T) {
	testutil.NeedTool(t, "wg-quick", "wg", "wireguard-go", "unshare", "sysctl")
	table := func(id uint32) hostnet.Table { return hostnet.Table{Mode: hostnet.TableID, ID: id} }
	tests := []struct {
		name   string
		script string // run before, in both namespaces
		file   string // the lines of the interface, besides its key
		peer   string
		o      hostnet.Options
	}{
		{
			name: "two networks",
			file: "Address = 10.9.0.2/24, fd09::2/64",
			peer: "AllowedIPs = 10.9.0.0/24, fd09::/64, 172.16.0.0/12, fd10::/48",
			o: hostnet.Options{Addresses: prefixes("10.9.0.2/24", "fd09::2/64"),
				AllowedIPs: prefixes("10.9.0.0/24", "fd09::/64", "172.16.0.0/12", "fd10::/48")},
		}, {
			name: "everything",
			file: "Address = 10.9.0.2/32\nAddress = fd09::2/128",
			peer: "AllowedIPs = 0.0.0.0/0, ::/0",
			o:    hostnet.Options{Addresses: prefixes("10.9.0.2/32", "fd09::2/128"), AllowedIPs: prefixes("0.0.0.0/0", "::/0")},
		}, {
			name: "everything and more, with a mark",
			file: "Address = 10.9.0.2/24, 10.9.0.3/24, 10.8.0.1/32\nFwMark = 0x1234",
			peer: "AllowedIPs = 0.0.0.0/0, 10.9.0.1/32, 172.16.0.0/12",
			o: hostnet.Options{Addresses: prefixes("10.9.0.2/24", "10.9.0.3/24", "10.8.0.1/32"), FwMark: 0x1234,
				AllowedIPs: prefixes("0.0.0.0/0", "10.9.0.1/32", "172.16.0.0/12")},
		}, {
			name: "IPv6 only",
			file: "Address = fd09::2/64",
			peer: "AllowedIPs = ::/0",
			o:    hostnet.Options{Addresses: prefixes("fd09::2/64"), AllowedIPs: prefixes("::/0")},
		}, {
			name: "halves",
			file: "Address = 10.9.0.2/24",
			peer: "AllowedIPs = 0.0.0.0/1, 128.0.0.0/1, ::/1, 8000::/1",
			o:    hostnet.Options{Addresses: prefixes("10.9.0.2/24"), AllowedIPs: prefixes("0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1")},
		}, {
			name: "a table",
			file: "Address = 10.9.0.2/24, fd09::2/64\nTable = 1234",
			peer: "AllowedIPs = 0.0.0.0/0, ::/0, 10.9.0.0/24, 10.9.0.1/32",
			o: hostnet.Options{Addresses: prefixes("10.9.0.2/24", "fd09::2/64"), Table: table(1234),
				AllowedIPs: prefixes("0.0.0.0/0", "::/0", "10.9.0.0/24", "10.9.0.1/32")},
		}, {
			name: "the main table by name",
			file: "Address = 10.9.0.2/24\nTable = main",
			peer: "AllowedIPs = 10.9.0.1/32, 172.16.0.0/12",
			o: hostnet.Options{Addresses: prefixes("10.9.0.2/24"), Table: hostnet.Table{Mode: hostnet.TableID, Name: "main"},
				AllowedIPs: prefixes("10.9.0.1/32", "172.16.0.0/12")},
		}, {
			name: "no routes",
			file: "Address = 10.9.0.2/24\nTable = off",
			peer: "AllowedIPs = 0.0.0.0/0",
			o:    hostnet.Options{Addresses: prefixes("10.9.0.2/24"), Table: hostnet.Table{Mode: hostnet.TableOff}, AllowedIPs: prefixes("0.0.0.0/0")},
		}, {
			name: "MTU given, DNS, hooks",
			file: "Address = 10.9.0.2/24\nMTU = 1300\nDNS = 10.9.0.1, fd09::1, corp.example\nDNS = example\n" +
				"PostUp = ip address add 10.77.0.1/32 dev %i; x=a+(b); [[ ab == $x ]] && ip route add 10.78.0.0/16 dev $INTERFACE",
			peer: "AllowedIPs = 10.9.0.0/24",
			o: hostnet.Options{Addresses: prefixes("10.9.0.2/24"), MTU: 1300, AllowedIPs: prefixes("10.9.0.0/24"),
				DNS: addrs("10.9.0.1", "fd09::1"), DNSSearch: []string{"corp.example", "example"},
				PostUp: []string{"ip address add 10.77.0.1/32 dev %i; x=a+(b); [[ ab == $x ]] && ip route add 10.78.0.0/16 dev $INTERFACE"}},
		}, {
			name:   "MTU of the route to the endpoint",
			script: "ip route add 198.51.100.0/24 via 192.0.2.1 mtu 1400",
			file:   "Address = 10.9.0.2/24",
			peer:   "AllowedIPs = 10.9.0.0/24\nEndpoint = 198.51.100.1:51820",
			o:      hostnet.Options{Addresses: prefixes("10.9.0.2/24"), AllowedIPs: prefixes("10.9.0.0/24"), Endpoints: addrs("198.51.100.1")},
		}, {
			name:   "MTU of the default route's interface",
			script: "ip link set eth0 mtu 1450",
			file:   "Address = 10.9.0.2/24",
			peer:   "AllowedIPs = 0.0.0.0/0",
			o:      hostnet.Options{Addresses: prefixes("10.9.0.2/24"), AllowedIPs: prefixes("0.0.0.0/0")},
		}, {
			name:   "a busy host",
			script: "ip rule add from 10.50.0.0/16 table 50; ip -6 rule add fwmark 7 table 50; ip route add 10.51.0.0/16 dev eth0 table 51820; ip route add default dev eth0 table 51821",
			file:   "Address = 10.9.0.2/24, fd09::2/64",
			peer:   "AllowedIPs = 0.0.0.0/0, ::/0",
			o:      hostnet.Options{Addresses: prefixes("10.9.0.2/24", "fd09::2/64"), AllowedIPs: prefixes("0.0.0.0/0", "::/0")},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			records := fakeResolvconf(t)
			prepare := func() *host {
				h := newHost(t)
				if tt.script != "" {
					h.sh(tt.script)
				}
				return h
			}
			theirs := prepare()
			theirs.closeTUN()
			theirBefore := theirs.state()
			up, down := wgQuick(t, theirs, records, tt.file, tt.peer)

			ours := prepare()
			s := ours.mustUp(&tt.o)
			ours.mustBe(up.state, "after Up; wanted is what wg-quick makes")
			if diff := cmp.Diff(up.records, records()); diff != "" {
				t.Errorf("dns records (-wg-quick +got):\n%s", diff)
			}
			if got := ours.sh("cat /proc/sys/net/ipv4/conf/all/src_valid_mark"); got != up.mark {
				t.Errorf("src_valid_mark: got %q, wg-quick has %q", got, up.mark)
			}
			ours.mustDown(s)
			ours.closeTUN()
			ours.mustBe(down.state, "after Down; wanted is what wg-quick leaves")
			ours.mustBe(theirBefore, "after Down; wanted is what was before")
			if diff := cmp.Diff(down.records, records()); diff != "" {
				t.Errorf("dns records after Down (-wg-quick +got):\n%s", diff)
			}
			if got := ours.sh("cat /proc/sys/net/ipv4/conf/all/src_valid_mark"); got != down.mark {
				t.Errorf("src_valid_mark after Down: got %q, wg-quick has %q", got, down.mark)
			}
		})
	}
}

// outcome is what one command of wg-quick makes of a namespace.
type outcome struct{ state, mark, records string }

// wgQuick runs wg-quick up and down in the namespace, which has no wg0.
func wgQuick(t *testing.T, h *host, records func() string, file, peer string) (up, down outcome) {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "wg0.conf")
	text := fmt.Sprintf("[Interface]\nPrivateKey = %s\n%s\n[Peer]\nPublicKey = %s\n%s\n",
		"yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=", file, "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=", peer)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	script := `set -e
		mount -t tmpfs tmpfs /run; mkdir /run/wireguard
		export WG_QUICK_USERSPACE_IMPLEMENTATION=wireguard-go
		wg-quick up "$1" </dev/null >"$1.log" 2>&1
		echo up; read line
		wg-quick down "$1" </dev/null >"$1.log" 2>&1`
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", config)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	fail := func(what string, err error) {
		t.Helper()
		log, _ := os.ReadFile(config + ".log")
		t.Fatalf("wg-quick %s: %v\n%s", what, err, log)
	}
	ended := false
	t.Cleanup(func() {
		if !ended { // wireguard-go ends with its interface
			cmd.Process.Kill()
			cmd.Wait()
			h.sh("ip link delete wg0 2>/dev/null || true")
		}
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "up\n" {
		fail("up", err)
	}
	look := func() outcome {
		var last, now string
		for now = h.state(); now != last; now = h.state() { // until the kernel has settled
			last = now
		}
		return outcome{state: now, mark: h.sh("cat /proc/sys/net/ipv4/conf/all/src_valid_mark"), records: records()}
	}
	up = look()
	if !strings.Contains(up.state, "wg0 up") {
		t.Fatalf("wg-quick made no interface:\n%s", up.state)
	}
	if _, err := stdin.Write([]byte("go\n")); err != nil {
		fail("down", err)
	}
	err = cmd.Wait()
	ended = true
	if err != nil {
		fail("down", err)
	}
	return up, look()
}
