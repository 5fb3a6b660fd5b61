// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package metrics_test

import (
	"bytes"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/metrics"
)

var update = flag.Bool("update", false, "write the files that tests compare with")

// options are those of golden scrapes, and of most tests.
var options = metrics.Options{Peers: metrics.AllPeers, MindFlavor: true, Version: "1.2.3", Commit: "abcdef"}

// scrape asks r as a client with that Accept header does.
func scrape(t testing.TB, r *metrics.Registry, accept string) *httptest.ResponseRecorder {
	t.Helper()
	q := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	if accept != "" {
		q.Header.Set("Accept", accept)
	}
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, q)
	if w.Code != http.StatusOK {
		t.Fatalf("scrape: %d %s", w.Code, w.Body)
	}
	return w
}

func text(t testing.TB, s *metrics.Snapshot) string {
	return scrape(t, metrics.New(source{s}, &options), "").Body.String()
}

// golden compares got with a file of the repository.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s is not what it should be (go test -update writes it):\n%s", file, diff)
	}
}

// withoutGo leaves out the version of Go, which is another one elsewhere.
func withoutGo(s string) string {
	before, rest, _ := strings.Cut(s, ",goversion=\"")
	_, after, _ := strings.Cut(rest, "\"")
	return before + after
}

func TestScrape(t *testing.T) {
	golden(t, "testdata/scrape.txt", withoutGo(text(t, sample(t))))
}

// A router that is down, or has only what every router has, shows no zeros for what
// it does not have.
func TestScrapeEmpty(t *testing.T) {
	golden(t, "testdata/empty.txt", withoutGo(text(t, &metrics.Snapshot{Device: "wg0"})))
	gone := withoutGo(text(t, nil))
	if n := strings.Count(gone, "\n"); n != 3 || !strings.Contains(gone, "router_build_info{") {
		t.Errorf("without a router:\n%s", gone)
	}
}

// What Prometheus' own registry would refuse, and what its linter finds.
func TestGather(t *testing.T) {
	for _, peers := range []int{metrics.AllPeers, 0, 1} {
		o := options
		o.Peers, o.GoRuntime = peers, true
		r := metrics.New(source{sample(t)}, &o)
		families, err := prometheus.Gatherers{r}.Gather()
		if err != nil {
			t.Fatal(err)
		}
		own, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		if len(own) != len(families) {
			t.Errorf("%d families, %d with different names", len(own), len(families))
		}
		problems, err := promlint.NewWithMetricFamilies(families).Lint()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// Each number of a Snapshot is somewhere in the scrape.
func TestEveryNumberIsShown(t *testing.T) {
	base := text(t, sample(t))
	var walk func(v reflect.Value, at string, s *metrics.Snapshot)
	walk = func(v reflect.Value, at string, s *metrics.Snapshot) {
		try := func(change func()) {
			old := reflect.New(v.Type()).Elem()
			old.Set(v)
			change()
			if text(t, s) == base {
				t.Errorf("%s is nowhere in the scrape", at)
			}
			v.Set(old)
		}
		switch v.Kind() {
		case reflect.Struct:
			if v.NumField() == 0 || !v.Type().Field(0).IsExported() { // time, address
				try(func() { v.SetZero() })
				return
			}
			for i := range v.NumField() {
				walk(v.Field(i), at+"."+v.Type().Field(i).Name, s)
			}
		case reflect.Pointer:
			walk(v.Elem(), at, s)
		case reflect.Slice:
			for i := range v.Len() {
				if at != ".Peers[0].AllowedIPs" && !strings.HasSuffix(at, "Bounds") {
					walk(v.Index(i), at+"["+string(rune('0'+i))+"]", s)
				}
			}
		case reflect.Bool:
			try(func() { v.SetBool(!v.Bool()) })
		case reflect.String:
			try(func() { v.SetString(v.String() + "y") })
		case reflect.Float64:
			try(func() { v.SetFloat(v.Float() + 0.25) })
		case reflect.Int, reflect.Int64:
			try(func() { v.SetInt(v.Int() + 1000) })
		default:
			try(func() { v.SetUint(v.Uint() + 1000) })
		}
	}
	s := sample(t)
	walk(reflect.ValueOf(s).Elem(), "", s)
}

// The busiest peers stay, with their lanes, and all are counted.
func TestPeerLimit(t *testing.T) {
	s := sample(t)
	s.Peers[0].RxBytes, s.Peers[1].RxBytes = 1, 1e9
	idle, busy := s.Peers[0].PublicKey, s.Peers[1].PublicKey
	for limit, want := range map[int][2]bool{metrics.AllPeers: {true, true}, 0: {}, 1: {false, true}, 2: {true, true}, 9: {true, true}} {
		o := options
		o.Peers = limit
		got := scrape(t, metrics.New(source{s}, &o), "").Body.String()
		if shown := [2]bool{strings.Contains(got, idle), strings.Contains(got, busy)}; shown != want {
			t.Errorf("limit %d shows idle, busy: %v, want %v", limit, shown, want)
		}
		if !strings.Contains(got, "\nrouter_peers{device=\"wg0\"} 2\n") {
			t.Errorf("limit %d does not say how many peers there are", limit)
		}
	}
}

// Two services with the same labels are one series.
func TestServicesMerged(t *testing.T) {
	v := metrics.Service{Section: "Socks5", Listen: "127.0.0.1:1080", Accepted: 3, Failures: []metrics.Count{{Name: "target refused", N: 1}}}
	s := &metrics.Snapshot{Device: "wg0", Services: []metrics.Service{v, v}}
	got := text(t, s)
	for _, want := range []string{
		"router_service_flows_total{device=\"wg0\",section=\"Socks5\",listen=\"127.0.0.1:1080\",target=\"\"} 6\n",
		"router_service_failures_total{device=\"wg0\",section=\"Socks5\",listen=\"127.0.0.1:1080\",target=\"\",reason=\"target_refused\"} 2\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	if s.Services[0].Failures[0].N != 1 {
		t.Error("the snapshot was changed")
	}
}

// promtool reads both scrapes and finds nothing to say.
func TestPromtoolMetrics(t *testing.T) {
	testutil.NeedTool(t, "promtool")
	for name, s := range map[string]*metrics.Snapshot{"full": sample(t), "empty": {Device: "wg0"}} {
		cmd := exec.CommandContext(t.Context(), "promtool", "check", "metrics")
		cmd.Stdin = strings.NewReader(text(t, s))
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil || out.Len() > 0 {
			t.Errorf("%s: promtool check metrics: %v\n%s", name, err, &out)
		}
	}
}

// What a scrape may take: 5 MB for 1,000 peers.
func TestScrapeSize(t *testing.T) {
	const peers, most = 1000, 5 << 20
	if n := len(text(t, many(peers))); n > most || n < peers*1000 {
		t.Errorf("%d peers take %d bytes, at most %d", peers, n, most)
	}
}
