// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package metrics_test

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/metrics"
)

// patience bounds waits for what must happen.
const patience = 30 * time.Second

// whole asks for a scrape over the network and wants all of it.
func whole(url string) error {
	c := http.Client{Timeout: patience}
	defer c.CloseIdleConnections()
	answer, err := c.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK || !strings.Contains(string(body), "\nrouter_peers{") {
		return errors.New(answer.Status)
	}
	return nil
}

// many is a hub with n peers that all have a path and a lane.
func many(n int) *metrics.Snapshot {
	s := &metrics.Snapshot{Device: "wg0", Peers: make([]metrics.Peer, n), Hub: &metrics.Hub{Forwarding: "on", Lanes: make([]metrics.HubLane, n)}}
	for i := range s.Peers {
		var key [32]byte
		binary.BigEndian.PutUint64(key[:], uint64(i)*0x9e3779b97f4a7c15)
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		k := uint64(i)
		s.Peers[i] = metrics.Peer{
			PublicKey: base64.StdEncoding.EncodeToString(key[:]),
			Endpoint:  netip.AddrPortFrom(addr, 51820), AllowedIPs: []netip.Prefix{netip.PrefixFrom(addr, 32)},
			LastHandshake: time.Unix(1700000000+int64(i), 0), RxBytes: k * 1500, TxBytes: k * 1400,
			Network: &metrics.PeerNetwork{TxPackets: k, Dropped: []metrics.Count{{Name: "no_address"}, {Name: "closed"}, {Name: "refused", N: k}}},
			Path:    &metrics.PeerPath{Kind: "direct", Family: "ipv4", Latency: time.Millisecond, Switches: k},
		}
		s.Hub.Lanes[i] = metrics.HubLane{PublicKey: s.Peers[i].PublicKey, Traffic: metrics.Traffic{Packets: k, Bytes: k * 1400}}
	}
	return s
}

// BenchmarkScrape is the text of a hub, as a plain client and as Prometheus, which
// takes gzip, get it. The size is that of what was sent.
func BenchmarkScrape(b *testing.B) {
	for _, n := range []int{10, 1000, 10000} {
		for _, encoding := range []string{"identity", "gzip"} {
			b.Run(fmt.Sprintf("peers=%d/%s", n, encoding), func(b *testing.B) {
				h := metrics.New(source{many(n)}, &options).Handler()
				q := httptest.NewRequest(http.MethodGet, "/metrics", nil)
				q.Header.Set("Accept", openMetrics)
				q.Header.Set("Accept-Encoding", encoding)
				var sent counting
				b.ReportAllocs()
				for b.Loop() {
					sent = counting{header: make(http.Header)}
					h.ServeHTTP(&sent, q)
				}
				b.ReportMetric(float64(sent.n), "B/scrape")
			})
		}
	}
}

// A counting throws away what it is sent.
type counting struct {
	header http.Header
	n      int
}

func (c *counting) Header() http.Header { return c.header }
func (c *counting) WriteHeader(int)     {}
func (c *counting) Write(b []byte) (int, error) {
	c.n += len(b)
	return len(b), nil
}
