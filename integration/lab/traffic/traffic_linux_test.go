// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package traffic_test

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

func TestMain(m *testing.M) {
	lab.Main()
	traffic.Main()
	os.Exit(m.Run())
}

// hosts returns two hosts over veth, without a tunnel.
func hosts(t *testing.T) (a, b *lab.Host) {
	t.Helper()
	testutil.NeedNetNS(t)
	testutil.NeedTool(t, "nft", "ping", "iperf3", "ss")
	n := lab.TwoHosts(1500).Build(t)
	return n.Host("a"), n.Host("b")
}

// TestChecker proves that no wrong byte goes unnoticed.
func TestChecker(t *testing.T) {
	content := traffic.Pattern(7, 300<<10)
	if n, err := traffic.Check(7, bytes.NewReader(content)); err != nil || n != int64(len(content)) {
		t.Errorf("right content: %d, %v", n, err)
	}
	for _, at := range []int{0, 70000, len(content) - 1} {
		wrong := bytes.Clone(content)
		wrong[at] ^= 4
		if _, err := traffic.Check(7, bytes.NewReader(wrong)); err == nil {
			t.Errorf("wrong byte %d goes unnoticed", at)
		}
	}
	if _, err := traffic.Check(7, bytes.NewReader(append(bytes.Clone(content[:100]), content[101:]...))); err == nil {
		t.Error("a missing byte goes unnoticed")
	}
	if _, err := traffic.Check(8, bytes.NewReader(content)); err == nil {
		t.Error("content of another seed goes unnoticed")
	}
}

// TestAccount counts a made-up arrival order.
func TestAccount(t *testing.T) {
	got := traffic.Account(12, 0, 1, 3, 2, 3, 4, 9, 10)
	want := traffic.FlowResult{Sent: 12, Received: 7, Lost: 5, Duplicated: 1, Reordered: 1, LongestGap: 4}
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestTCP(t *testing.T) {
	a, b := hosts(t)
	r, err := traffic.TCP(a, b, lab.B6, 3<<20)
	if err != nil || r.Received < 6<<20 || r.Received != r.Sent {
		t.Errorf("got %+v, %v", r, err)
	}
	if _, err := traffic.TCP(a, b, lab.A4, 1); err == nil {
		t.Error("an address that host b does not have works")
	}
	// Loss shows.
	b.NFT(drop)
	s, err := traffic.StartStream(a, b, lab.B4, lab.Patience)
	if err != nil {
		t.Fatal(err)
	}
	lab.Wait(t, lab.Patience, "traffic", func() error { return atLeast(s.Received(), 1<<20) })
	if r, err = s.Stop(); err != nil || r.Lost() == 0 {
		t.Errorf("with every 20th packet dropped: %+v, %v", r, err)
	}
}

// drop makes a host drop every 20th packet that comes in.
const drop = `table inet lab { counter dropped {}
	chain in { type filter hook input priority 0; meta l4proto { tcp, udp } numgen inc mod 20 0 counter name dropped drop; }
	}`

func atLeast(got, want int64) error {
	if got < want {
		return os.ErrDeadlineExceeded
	}
	return nil
}

func TestUDP(t *testing.T) {
	a, b := hosts(t)
	r, err := traffic.UDP(a, b, lab.B6, 1000, 500, 5000)
	if err != nil || r.Lost+r.Duplicated+r.Reordered+r.Corrupt != 0 || r.Received < 1000 {
		t.Errorf("%s, %v", r, err)
	}
	b.NFT(drop)
	r, err = traffic.UDP(a, b, lab.B4, 1000, 200, 5000)
	if err != nil || r.Lost != b.NFTCounter("dropped") || r.Lost < 50 || r.LongestGap < 1 {
		t.Errorf("with every 20th packet dropped (%d): %s, %v", b.NFTCounter("dropped"), r, err)
	}
}

func TestRateMeter(t *testing.T) {
	a, b := hosts(t)
	m, err := traffic.NewRateMeter(a, b, lab.A4, lab.B4, 200)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	b.NFT(drop)
	r, err := m.Try(10000, 200*time.Millisecond)
	if err != nil || r.Sent != 2000 || r.Received != 1900 || r.Duplicated+r.Reordered != 0 {
		t.Errorf("with every 20th packet dropped: %+v, %v", r, err)
	}
	// A path that carries nothing ends the search.
	b.NFT("table inet lab { chain in { drop\n }\n }\n")
	if best, _, err := m.HighestRate(1000, 10*time.Millisecond, 0.01, nil); err == nil {
		t.Errorf("a path that drops everything carries %s", best)
	}
}

func TestRoundTrips(t *testing.T) {
	a, b := hosts(t)
	l, err := traffic.RoundTrips(a, b, lab.A6, lab.B6, time.Millisecond, 100*time.Millisecond)
	if err != nil || l.Lost != 0 || l.Samples == 0 || l.P50 <= 0 || l.P99 < l.P50 {
		t.Errorf("got %+v, %v", l, err)
	}
}

func TestSniff(t *testing.T) {
	a, b := hosts(t)
	for _, family := range []struct{ name string }{{"IPv4"}, {"IPv6"}} {
		src, dst := lab.A4, lab.B4
		if family.name == "IPv6" {
			src, dst = lab.A6, lab.B6
		}
		s, err := traffic.Sniff(b, "eth0")
		if err != nil {
			t.Fatal(err)
		}
		if r, err := traffic.UDP(a, b, dst, 3, 77, 1000); err != nil || r.Lost != 0 {
			t.Fatalf("%s, %v", r, err)
		}
		seen, err := s.Stop()
		if err != nil || len(seen) < 3 || seen[0].Src.Addr() != src || seen[0].Dst.Addr() != dst || len(seen[0].Payload) != 77 {
			t.Errorf("%s: saw %v, %v", family.name, seen, err)
		}
	}
}

func TestTools(t *testing.T) {
	a, b := hosts(t)
	if n, err := traffic.Ping(a, lab.B6, 4, 100); err != nil || n != 4 {
		t.Errorf("ping: %d, %v", n, err)
	}
	if n, err := traffic.Ping(a, lab.C4, 1, 56); err == nil && n != 0 {
		t.Errorf("ping to nowhere: %d, %v", n, err)
	}
	traffic.Iperf3Server(t, b, lab.B4)
	if r, err := traffic.Iperf3(a, lab.B4, time.Second); err != nil || r.BitsPerSecond < 1e6 {
		t.Errorf("iperf3: %+v, %v", r, err)
	}
	if _, err := traffic.Iperf3(a, lab.A4, time.Second); err == nil || !strings.Contains(err.Error(), "iperf3") {
		t.Errorf("iperf3 without a server: %v", err)
	}
}
