// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine_test

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/metrics"
)

// shown returns the series of a scrape of s that are not zero, with labels by name.
func shown(t *testing.T, s *site) []string {
	t.Helper()
	// Gatherers find a series that is there twice.
	families, err := prometheus.Gatherers{metrics.New(s, &metrics.Options{Peers: metrics.AllPeers})}.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, f := range families {
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			if m.Counter.GetValue()+m.Gauge.GetValue()+float64(m.Histogram.GetSampleCount()) > 0 {
				lines = append(lines, f.GetName()+"{"+strings.Join(labels, ",")+"}")
			}
		}
	}
	return lines
}

// What a connection through the tunnel does is in the metrics of both routers, and
// nothing secret is.
func TestSnapshot(t *testing.T) {
	a, b := pair(t)
	b.echo(":7")
	roundTrip(t, a.dial(netip.AddrPortFrom(b.inner, 7).String()), "hello")
	key := func(s *site) string {
		k := s.key.Public()
		return base64.StdEncoding.EncodeToString(k[:])
	}
	snap := a.Snapshot()
	status := a.peerStatus(b.key.Public())
	if snap.Device != a.Name() || snap.PublicKey != key(a) || snap.ListenPort != a.ListenPort() || len(snap.Peers) != 1 {
		t.Fatalf("the snapshot is of %q, %q, port %d, with %d peers", snap.Device, snap.PublicKey, snap.ListenPort, len(snap.Peers))
	}
	p := &snap.Peers[0]
	if p.PublicKey != key(b) || p.Endpoint != status.Endpoint || !p.LastHandshake.Equal(status.LastHandshake) || !slices.Equal(p.AllowedIPs, status.AllowedIPs) {
		t.Errorf("the peer is %+v, its status %v", p, status)
	}
	if p.RxBytes == 0 || p.TxBytes == 0 || p.RxBytes > status.RxBytes || p.TxBytes < p.Network.TxPackets {
		t.Errorf("%d bytes came, %d left in %d packets", p.RxBytes, p.TxBytes, p.Network.TxPackets)
	}
	lines := shown(t, a)
	for _, want := range []string{
		"wireguard_device_info{device=test1,public_key=" + key(a) + "}",
		"wireguard_peer_receive_bytes_total{device=test1,public_key=" + key(b) + "}",
		"wireguard_peer_transmit_bytes_total{device=test1,public_key=" + key(b) + "}",
		"wireguard_peer_last_handshake_seconds{device=test1,public_key=" + key(b) + "}",
		"router_handshake_initiations_total{attempt=first,device=test1}",
		"router_handshakes_completed_total{device=test1,role=initiator}",
		"router_receive_packets_total{device=test1}",
		"router_netstack_in_packets_total{device=test1}",
		"router_netstack_tcp_connections{device=test1}",
		"router_sockets{device=test1,network=udp4}",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("no %s", want)
		}
	}
	// One queue and one socket at least did something.
	for _, name := range []string{"router_tun_read_packets_total{", "router_tun_write_batch_packets{", "router_socket_receive_packets_per_call{", "router_socket_transmit_segments_per_message{"} {
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, name) }) {
			t.Errorf("no %s", name)
		}
	}
	secret := base64.StdEncoding.EncodeToString(a.key[:])
	if text := strings.Join(lines, "\n"); strings.Contains(text, secret) {
		t.Error("the private key is shown")
	}
}

// Drops are by reason, and so are those of a peer without an address.
func TestSnapshotDrops(t *testing.T) {
	a, b := newSite(t, 1), newSite(t, 2)
	a.knows(b) // nobody knows where
	a.start()
	c, err := a.Net().DialContext(t.Context(), "udp", netip.AddrPortFrom(b.inner, 9).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("lost")); err != nil {
		t.Fatal(err)
	}
	key := b.key.Public()
	want := "router_peer_transmit_dropped_packets_total{device=test1,public_key=" + base64.StdEncoding.EncodeToString(key[:]) + ",reason=no_address}"
	testutil.Eventually(t, patience, want, func() error {
		if lines := shown(t, a); !slices.Contains(lines, want) {
			return errors.New(strings.Join(lines, "\n"))
		}
		return nil
	})
}

// An engine is a source of metrics, also after its end.
func TestSnapshotAfterClose(t *testing.T) {
	var _ metrics.Source = (*engine.Engine)(nil)
	a, _ := pair(t)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if lines := shown(t, a); len(lines) == 0 {
		t.Error("nothing is shown, not even the build")
	}
}

// BenchmarkSnapshot is a whole scrape of a router with many peers, from the state of
// the device to the text.
func BenchmarkSnapshot(b *testing.B) {
	for _, n := range []int{10, 1000, 10000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			s := newSite(b, 1)
			for i := range n {
				addr := netip.AddrFrom4([4]byte{10, 10, byte(i >> 8), byte(i)})
				s.cfg.Peers = append(s.cfg.Peers, config.Peer{
					PublicKey: newKey(b).Public(), AllowedIPs: []netip.Prefix{netip.PrefixFrom(addr, 32)},
					Endpoint: config.Endpoint{Host: loopback.String(), Port: 9},
				})
			}
			s.start()
			h := metrics.New(s, &metrics.Options{Peers: metrics.AllPeers}).Handler()
			q := httptest.NewRequest(http.MethodGet, "/metrics", nil)
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(discarding{make(http.Header)}, q)
			}
		})
	}
}

// A discarding answer throws away what it is sent.
type discarding struct{ header http.Header }

func (d discarding) Header() http.Header         { return d.header }
func (d discarding) WriteHeader(int)             {}
func (d discarding) Write(b []byte) (int, error) { return len(b), nil }
