// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/uapi"
)

func mustKey(t *testing.T, text string) uapi.Key {
	t.Helper()
	k, err := config.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return uapi.Key(k)
}

// testDevice has a peer of each kind, the one heard last in the middle.
func testDevice(t *testing.T) *uapi.Device {
	t.Helper()
	now := time.Now()
	return &uapi.Device{
		PrivateKey: mustKey(t, "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="), ListenPort: 51820, FwMark: 0xca6c,
		Extra: []uapi.KeyValue{
			{Key: "tunrouter_sockets", Value: `{"network":"udp4","asked":2,"sockets":[` +
				`{"address":"0.0.0.0:51820","gso":true,"gro":true},{"address":"0.0.0.0:51820","gso":true,"gro":true}]}`},
			{Key: "tunrouter_sockets", Value: `{"network":"udp6","asked":2,"sockets":[` +
				`{"address":"[::]:51820","gso":true,"gro":false,"reasons":["gro: switched off","receive buffer: small"]}]}`},
			{Key: "tunrouter_sockets", Value: "not JSON"},
			{Key: "tunrouter_xdp", Value: `{"asked":"auto:4","interface":"eth0","active":true,"attach":"native","queuesAsked":4,"queues":[` +
				`{"queue":0,"zeroCopy":true,"rxPackets":7,"txPackets":8},{"queue":1,"zeroCopy":true,"rxPackets":0,"txPackets":0}],` +
				`"kernel":{"unresolved":2,"full":3},"program":{"redirected":7,"port":90},"restarts":1}`},
			{Key: "tunrouter_queues", Value: `{"asked":4,"got":2,"batched":2,"steering":"kernel","reasons":["steering: EPERM"],"dropped":6}`},
			{Key: "tunrouter_service", Value: `{"section":"Socks5","listen":"127.0.0.1:1080","active":2,"accepted":9,"bytesOut":2048,"bytesIn":1024,"failures":{"wrong password":3,"over a limit":1}}`},
			{Key: "tunrouter_service", Value: `{"section":"TCPClientTunnel","listen":"127.0.0.1:22","target":"a.example:22","active":0,"accepted":0,"bytesOut":0,"bytesIn":0}`},
			{Key: "tunrouter_forwarding", Value: `{"mode":"on","packets":12,"bytes":2048,"dropped":{"loop":3,"hop-limit":4,"full":3}}`},
			{Key: "tunrouter_filter", Value: `{"flows":2,"maxFlows":65536,"denied":{"default":5}}`},
			{Key: "tunrouter_filter_rule", Value: `{"text":"Allow \u003d from laptop","line":9,"packets":7,"bytes":700}`},
			{Key: "tunrouter_filter_rule", Value: `{"text":"Deny \u003d any","line":10,"packets":0,"bytes":0}`},
			{Key: "tunrouter_drops", Value: `{"stage":"hub","dropped":{"loop":3,"full":3,"no_peer":7}}`},
			{Key: "tunrouter_drops", Value: `{"stage":"filter","dropped":{"default":5}}`},
			{Key: "of_another_program", Value: "7"},
		},
		Peers: []uapi.Peer{
			{PublicKey: mustKey(t, "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=")},
			{
				PublicKey: mustKey(t, "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="), PresharedKey: mustKey(t, "/UwcSPg38hW/D9Y3tcS1FOV0K1wuURMbS0sesJEP5ak="),
				Endpoint: netip.MustParseAddrPort("[2001:db8::1]:51820"), LastHandshake: now.Add(-90 * time.Minute),
				RxBytes: 1023, TxBytes: 5 << 30, PersistentKeepalive: 25,
				AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/32"), netip.MustParsePrefix("fd00::/64")},
			},
			{
				PublicKey: mustKey(t, "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="), LastHandshake: now.Add(-25 * time.Hour),
				Endpoint: netip.MustParseAddrPort("192.0.2.1:7"),
			},
		},
	}
}

// A fixed is a uapi.Handler that always has the same device.
type fixed struct{ d *uapi.Device }

func (f fixed) Get() (*uapi.Device, error) { return f.d, nil }
func (fixed) Set(*uapi.SetRequest) error   { return nil }
func (fixed) Reload() error                { return nil }

// serve makes devices available in a directory and returns that.
func serve(t *testing.T, devices map[string]*uapi.Device) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "router")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for name, d := range devices {
		s, err := uapi.Listen(filepath.Join(dir, name+".sock"), nil)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- s.Serve(context.Background(), fixed{d}) }()
		t.Cleanup(func() {
			s.Close()
			<-done
		})
	}
	return dir
}

// call runs a command line and returns what it prints.
func call(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(&app{args: append([]string{"router"}, args...), in: strings.NewReader(""), out: &out, err: &err})
	return out.String(), err.String(), code
}

const statusText = `interface: wg0
  public key: hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=
  private key: (hidden)
  listening port: 51820
  fwmark: 0xca6c
  tun queues: 2 of 4 asked for, batched, steered by kernel (steering: EPERM), dropped 6
  udp4 sockets: 2, 0.0.0.0:51820, gso on, gro on
  udp6 sockets: 1 of 2 asked for, [::]:51820, gso on, gro off (gro: switched off; receive buffer: small)
  xdp: eth0, native, zero-copy, 2 of 4 queues, through the kernel's sockets 5 (full 3, unresolved 2), restarts 1
  peer forwarding: on, 12 packets, 2.00 KiB, dropped 10 (hop-limit 4, full 3, loop 3)
  filter: 2 flows of at most 65536, denied 5 (default 5)
    Allow = from laptop: 7 packets, 700 B
    Deny = any: 0 packets, 0 B
  service: Socks5 on 127.0.0.1:1080, 2 active of 9, 1.00 KiB received, 2.00 KiB sent, failed 4 (wrong password 3, over a limit 1)
  service: TCPClientTunnel on 127.0.0.1:22 to a.example:22, 0 active of 0
  dropped at hub: 13 (no_peer 7, full 3, loop 3)
  dropped at filter: 5 (default 5)

peer: xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
  preshared key: (hidden)
  endpoint: [2001:db8::1]:51820
  allowed ips: 10.0.0.2/32, fd00::/64
  latest handshake: 1 hour, 30 minutes ago
  transfer: 1023 B received, 5.00 GiB sent
  persistent keepalive: every 25 seconds

peer: hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=
  endpoint: 192.0.2.1:7
  allowed ips: (none)
  latest handshake: 1 day, 1 hour ago

peer: TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=
  allowed ips: (none)
`

func TestStatusText(t *testing.T) {
	d := testDevice(t)
	dir := serve(t, map[string]*uapi.Device{"wg0": d, "wg1": {}})
	var b strings.Builder
	asked, err := ask(dir, "wg0")
	if err != nil {
		t.Fatal(err)
	}
	writeText(&b, map[string]*uapi.Device{"wg0": asked}, new(statusOptions), d.Peers[1].LastHandshake.Add(90*time.Minute))
	if diff := cmp.Diff(statusText, b.String()); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
	all, stderr, code := call(t, "status", "--socket-dir", dir)
	if code != 0 || stderr != "" || !strings.HasPrefix(all, "interface: wg0\n") || !strings.HasSuffix(all, "\n\ninterface: wg1\n") {
		t.Errorf("all routers: exit code %d, %q, %s", code, stderr, all)
	}
	if strings.Contains(all, "dwdtCnMYpX08") || strings.Contains(all, "/UwcSPg38hW") {
		t.Errorf("keys in:\n%s", all)
	}
	with, _, _ := call(t, "status", "--socket-dir", dir, "--show-keys", "wg0")
	for _, key := range []string{"private key: dwdtCnMYpX08", "preshared key: /UwcSPg38hW"} {
		if !strings.Contains(with, key) {
			t.Errorf("no %q with --show-keys:\n%s", key, with)
		}
	}
}

func TestStatusJSON(t *testing.T) {
	d := testDevice(t)
	d.Peers[1].LastHandshake, d.Peers[2].LastHandshake = time.Unix(1700000002, 5), time.Unix(1700000001, 0)
	dir := serve(t, map[string]*uapi.Device{"wg0": d, "wg1": {}})
	const want = `{
	"wg0": {
		"publicKey": "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=",
		"listenPort": 51820,
		"fwmark": 51820,
		"sockets": [
			{
				"network": "udp4",
				"asked": 2,
				"sockets": [
					{
						"address": "0.0.0.0:51820",
						"gso": true,
						"gro": true
					},
					{
						"address": "0.0.0.0:51820",
						"gso": true,
						"gro": true
					}
				]
			},
			{
				"network": "udp6",
				"asked": 2,
				"sockets": [
					{
						"address": "[::]:51820",
						"gso": true,
						"gro": false,
						"reasons": [
							"gro: switched off",
							"receive buffer: small"
						]
					}
				]
			}
		],
		"xdp": {
			"asked": "auto:4",
			"interface": "eth0",
			"active": true,
			"attach": "native",
			"queuesAsked": 4,
			"queues": [
				{
					"queue": 0,
					"zeroCopy": true,
					"rxPackets": 7,
					"txPackets": 8
				},
				{
					"queue": 1,
					"zeroCopy": true,
					"rxPackets": 0,
					"txPackets": 0
				}
			],
			"kernel": {
				"full": 3,
				"unresolved": 2
			},
			"program": {
				"port": 90,
				"redirected": 7
			},
			"restarts": 1
		},
		"queues": {
			"asked": 4,
			"got": 2,
			"batched": 2,
			"steering": "kernel",
			"reasons": [
				"steering: EPERM"
			],
			"dropped": 6
		},
		"forwarding": {
			"mode": "on",
			"packets": 12,
			"bytes": 2048,
			"dropped": {
				"full": 3,
				"hop-limit": 4,
				"loop": 3
			}
		},
		"filter": {
			"flows": 2,
			"maxFlows": 65536,
			"denied": {
				"default": 5
			},
			"rules": [
				{
					"text": "Allow = from laptop",
					"line": 9,
					"packets": 7,
					"bytes": 700
				},
				{
					"text": "Deny = any",
					"line": 10,
					"packets": 0,
					"bytes": 0
				}
			]
		},
		"services": [
			{
				"section": "Socks5",
				"listen": "127.0.0.1:1080",
				"active": 2,
				"accepted": 9,
				"bytesOut": 2048,
				"bytesIn": 1024,
				"failures": {
					"over a limit": 1,
					"wrong password": 3
				}
			},
			{
				"section": "TCPClientTunnel",
				"listen": "127.0.0.1:22",
				"target": "a.example:22",
				"active": 0,
				"accepted": 0,
				"bytesOut": 0,
				"bytesIn": 0
			}
		],
		"drops": {
			"filter": {
				"default": 5
			},
			"hub": {
				"full": 3,
				"loop": 3,
				"no_peer": 7
			}
		},
		"peers": {
			"TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0=": {
				"allowedIps": []
			},
			"hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=": {
				"endpoint": "192.0.2.1:7",
				"latestHandshake": 1700000001,
				"allowedIps": []
			},
			"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=": {
				"endpoint": "[2001:db8::1]:51820",
				"latestHandshake": 1700000002,
				"transferRx": 1023,
				"transferTx": 5368709120,
				"persistentKeepalive": 25,
				"allowedIps": [
					"10.0.0.2/32",
					"fd00::/64"
				]
			}
		}
	},
	"wg1": {
		"peers": {}
	}
}
`
	got, stderr, code := call(t, "status", "--json", "--socket-dir", dir)
	if code != 0 || stderr != "" {
		t.Errorf("exit code %d, %q", code, stderr)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("json (-want +got):\n%s", diff)
	}
	got, _, _ = call(t, "status", "--json", "--show-keys", "--socket-dir", dir, "wg0")
	for _, key := range []string{`"privateKey": "dwdtCnMYpX08`, `"presharedKey": "/UwcSPg38hW`} {
		if !strings.Contains(got, key) {
			t.Errorf("no %s with --show-keys:\n%s", key, got)
		}
	}
}

func TestUnits(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour: "in the future; the system clock was set back", 0: "now", time.Second: "1 second ago",
		61 * time.Second: "1 minute, 1 second ago", 2*time.Hour + 3*time.Second: "2 hours, 3 seconds ago",
		366 * 24 * time.Hour: "1 year, 1 day ago",
	} {
		if got := ago(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	for n, want := range map[uint64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.00 KiB", 1536: "1.50 KiB", 1 << 20: "1.00 MiB", 1 << 40: "1.00 TiB", 1<<64 - 1: "16.00 EiB",
	} {
		if got := size(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

// What a router shows of itself over HTTP has no secret in it.
func TestDescribeDeviceHidesKeys(t *testing.T) {
	var keys [2]config.Key
	for i := range keys {
		var err error
		if keys[i], err = config.GenerateKey(); err != nil {
			t.Fatal(err)
		}
	}
	private, psk := uapi.Key(keys[0]), uapi.Key(keys[1])
	text, err := json.Marshal(describeDevice("wg0", &uapi.Device{PrivateKey: private, Peers: []uapi.Peer{{PresharedKey: psk}}}))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{keys[0].String(), keys[1].String(), hex.EncodeToString(private[:]), hex.EncodeToString(psk[:])} {
		if strings.Contains(string(text), secret) {
			t.Errorf("%s is in %s", secret, text)
		}
	}
	if !strings.Contains(string(text), `"publicKey":"`) {
		t.Errorf("no public key in %s", text)
	}
}
