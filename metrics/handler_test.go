// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package metrics_test

import (
	"bufio"
	"compress/gzip"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/metrics"
)

const openMetrics = "application/openmetrics-text; version=1.0.0"

// In each format that Prometheus asks for there is the same.
func TestFormats(t *testing.T) {
	r := metrics.New(source{sample(t)}, &options)
	want, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(want) != len(metrics.Families()) {
		t.Errorf("%d families are shown, there are %d", len(want), len(metrics.Families()))
	}
	for accept, contentType := range map[string]string{
		"":               "text/plain; version=0.0.4",
		"text/html, */*": "text/plain; version=0.0.4",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited": "application/vnd.google.protobuf",
	} {
		w := scrape(t, r, accept)
		if got := w.Header().Get("Content-Type"); !strings.HasPrefix(got, contentType) {
			t.Errorf("Accept %q gets %q, want %q", accept, got, contentType)
		}
		d := expfmt.NewDecoder(w.Body, expfmt.ResponseFormat(w.Header()))
		var got []string
		for {
			var f dto.MetricFamily
			err := d.Decode(&f)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("Accept %q: %v", accept, err)
			}
			got = append(got, f.GetName())
		}
		slices.Sort(got)
		if !slices.EqualFunc(got, want, func(name string, f *dto.MetricFamily) bool { return name == f.GetName() }) {
			t.Errorf("Accept %q gets %d families, want %d", accept, len(got), len(want))
		}
	}
	w := scrape(t, r, openMetrics)
	if got := w.Header().Get("Content-Type"); !strings.HasPrefix(got, "application/openmetrics-text") {
		t.Errorf("OpenMetrics is %q", got)
	}
	if body := w.Body.String(); !strings.HasSuffix(body, "\n# EOF\n") || strings.Count(body, "\n# TYPE ") < len(want)-1 {
		t.Errorf("OpenMetrics ends with %q", body[max(0, len(body)-80):])
	}
}

func TestGzip(t *testing.T) {
	r := metrics.New(source{sample(t)}, &options)
	plain := text(t, sample(t))
	for accept, zipped := range map[string]bool{
		"": false, "gzip": true, "deflate, GZIP;q=0.5": true, "gzip;q=0": false, "gzip; q=0.0, br": false, "br": false,
	} {
		q := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		q.Header.Set("Accept-Encoding", accept)
		w := httptest.NewRecorder()
		r.Handler().ServeHTTP(w, q)
		if got := w.Header().Get("Content-Encoding") == "gzip"; got != zipped {
			t.Errorf("Accept-Encoding %q: gzip %v, want %v", accept, got, zipped)
			continue
		}
		body := io.Reader(w.Body)
		if zipped {
			z, err := gzip.NewReader(body)
			if err != nil {
				t.Fatal(err)
			}
			body = z
		}
		got, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != plain {
			t.Errorf("Accept-Encoding %q: another text", accept)
		}
	}
}

// Who is on this host gets plain text.
func TestGzipOnHost(t *testing.T) {
	r := metrics.New(source{sample(t)}, &options)
	for remote, zipped := range map[string]bool{
		"192.0.2.1:1": true, "[2001:db8::1]:1": true, "[fe80::1%eth0]:1": true,
		"127.0.0.1:1": false, "127.1.2.3:1": false, "[::1]:1": false, "[::ffff:127.0.0.1]:1": false, "@": false, "": false,
	} {
		q := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		q.RemoteAddr = remote
		q.Header.Set("Accept-Encoding", "gzip")
		w := httptest.NewRecorder()
		r.Handler().ServeHTTP(w, q)
		if got := w.Header().Get("Content-Encoding") == "gzip"; got != zipped {
			t.Errorf("from %q: gzip %v, want %v", remote, got, zipped)
		}
	}
}

func TestMethods(t *testing.T) {
	r := metrics.New(source{sample(t)}, &options)
	for method, code := range map[string]int{
		http.MethodGet: 200, http.MethodHead: 200, http.MethodPost: 405, http.MethodDelete: 405, http.MethodOptions: 405,
	} {
		w := httptest.NewRecorder()
		r.Handler().ServeHTTP(w, httptest.NewRequest(method, "/metrics", nil))
		if w.Code != code {
			t.Errorf("%s: %d, want %d", method, w.Code, code)
		}
		if method == http.MethodHead && w.Body.Len() > 0 {
			t.Errorf("HEAD has a body of %d bytes", w.Body.Len())
		}
	}
}

// A stuck is a Source that answers when it is told to.
type stuck struct {
	entered chan struct{}
	leave   chan struct{}
}

func (s *stuck) Snapshot() *metrics.Snapshot {
	s.entered <- struct{}{}
	<-s.leave
	return nil
}

// A scrape too many is refused, and the next one after that is not.
func TestTooManyScrapes(t *testing.T) {
	s := &stuck{make(chan struct{}), make(chan struct{})}
	r := metrics.New(s, &options)
	serve := func() int {
		w := httptest.NewRecorder()
		r.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		return w.Code
	}
	codes := make(chan int, metrics.MaxScrapes)
	var all sync.WaitGroup
	for range metrics.MaxScrapes {
		all.Go(func() { codes <- serve() })
		<-s.entered
	}
	if code := serve(); code != http.StatusServiceUnavailable {
		t.Errorf("a scrape too many gets %d", code)
	}
	close(s.leave)
	all.Wait()
	for range metrics.MaxScrapes {
		if code := <-codes; code != http.StatusOK {
			t.Errorf("a scrape gets %d", code)
		}
	}
	all.Go(func() { <-s.entered })
	if code := serve(); code != http.StatusOK {
		t.Errorf("after that a scrape gets %d", code)
	}
	all.Wait()
}

// A client that hangs up ends its scrape, and its place is free again.
func TestClientGone(t *testing.T) {
	testutil.LeakCheck(t)
	s := many(2000)
	server := httptest.NewServer(metrics.New(source{s}, &options).Handler())
	defer server.Close()
	for range 3 * metrics.MaxScrapes {
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReaderSize(c, 16).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	testutil.Eventually(t, patience, "all places are free", func() error {
		return whole(server.URL)
	})
}

// Clients that ask and do not read are cut off, and do not keep others out.
func TestSlowClients(t *testing.T) {
	testutil.LeakCheck(t)
	r := metrics.New(source{many(10000)}, &options) // more than buffers of sockets hold
	r.SetTime(2 * time.Second)
	server := httptest.NewServer(r.Handler())
	defer server.Close()
	for range metrics.MaxScrapes {
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []int{http.StatusServiceUnavailable, http.StatusOK} {
		testutil.Eventually(t, patience, "the answer is "+strconv.Itoa(want), func() error {
			w := httptest.NewRecorder()
			r.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodHead, "/metrics", nil))
			if w.Code != want {
				return errors.New(http.StatusText(w.Code))
			}
			return nil
		})
	}
}
