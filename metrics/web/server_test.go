// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/internal/socketfile"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// serveTest runs a server until the test ends and returns it with a client that knows
// no other server.
func serveTest(t *testing.T, o Options) (*Server, *http.Client) {
	t.Helper()
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	o.Logger = testutil.Logger(t)
	s, err := Listen(&o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	c := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, s.Addr().Network(), s.Addr().String())
		},
	}}
	t.Cleanup(func() {
		c.CloseIdleConnections()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s, c
}

// ask sends a request and returns the answer with its body.
func ask(t *testing.T, c *http.Client, r *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func get(t *testing.T, c *http.Client, path string) (*http.Response, string) {
	t.Helper()
	return ask(t, c, request(t, http.MethodGet, path))
}

func request(t *testing.T, method, path string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, "http://127.0.0.1"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// everything has an answer for each path.
func everything() Options {
	return Options{
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "a_metric 1\n") }),
		Status:  func() (any, error) { return map[string]int{"peers": 3}, nil },
		Page:    func() (*PageData, error) { return &PageData{Interface: "wg0"}, nil },
		Ready:   func() []NotReady { return nil },
	}
}

func TestPathsAreAnswered(t *testing.T) {
	testutil.LeakCheck(t)
	_, c := serveTest(t, everything())
	testutil.Eventually(t, 20*time.Second, "first sample", func() error {
		if resp, _ := get(t, c, dataPath); resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
	for _, tt := range []struct {
		path, contentType, body string
		code                    int
	}{
		{pagePath, "text/html; charset=utf-8", "<!doctype html>", 200},
		{metricsPath, "text/plain; charset=utf-8", "a_metric 1\n", 200},
		{healthPath, "text/plain; charset=utf-8", "ok\n", 200},
		{readyPath, "application/json", `{"ready":true,"missing":[]}`, 200},
		{statusPath, "application/json", `{"peers":3}`, 200},
		{dataPath, "application/json", `"interface":"wg0"`, 200},
		{"/metrics/", "text/plain; charset=utf-8", "not found", 404},
		{"/api/v1/status/..", "text/plain; charset=utf-8", "not found", 404},
		{"/debug/pprof/", "text/plain; charset=utf-8", "not found", 404},
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			resp, body := ask(t, c, request(t, method, tt.path))
			if resp.StatusCode != tt.code {
				t.Errorf("%s %s: %s, want %d", method, tt.path, resp.Status, tt.code)
			}
			if method == http.MethodHead && body != "" || method == http.MethodGet && !strings.Contains(body, tt.body) {
				t.Errorf("%s %s: body %q, want %q in it", method, tt.path, body, tt.body)
			}
			for name, want := range map[string]string{
				"Content-Type":                 tt.contentType,
				"Cache-Control":                "no-store",
				"X-Content-Type-Options":       "nosniff",
				"X-Frame-Options":              "DENY",
				"Referrer-Policy":              "no-referrer",
				"Cross-Origin-Resource-Policy": "same-origin",
			} {
				if got := resp.Header.Get(name); got != want {
					t.Errorf("%s %s: %s: %q, want %q", method, tt.path, name, got, want)
				}
			}
			policy := resp.Header.Get("Content-Security-Policy")
			if !strings.HasPrefix(policy, "default-src 'none';") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
				t.Errorf("%s %s: policy %q", method, tt.path, policy)
			}
		}
	}
}

func TestWhatIsNotThereIsNotFound(t *testing.T) {
	testutil.LeakCheck(t)
	_, c := serveTest(t, Options{})
	for path, want := range map[string]int{pagePath: 404, dataPath: 404, metricsPath: 404, statusPath: 404, healthPath: 200, readyPath: 200} {
		if resp, _ := get(t, c, path); resp.StatusCode != want {
			t.Errorf("%s: %s, want %d", path, resp.Status, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	testutil.LeakCheck(t)
	asked := new(atomic.Int32)
	o := everything()
	o.Hosts = []string{"Router.Example."}
	o.Metrics = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	_, c := serveTest(t, o)
	type change = func(r *http.Request)
	host := func(h string) change { return func(r *http.Request) { r.Host = h } }
	header := func(kv ...string) change {
		return func(r *http.Request) {
			for i := 0; i < len(kv); i += 2 {
				r.Header.Set(kv[i], kv[i+1])
			}
		}
	}
	method := func(m string) change { return func(r *http.Request) { r.Method = m } }
	for _, tt := range []struct {
		name   string
		path   string
		change change
		want   int
	}{
		{"address", metricsPath, host("192.0.2.1:9586"), 200},
		{"address without port", metricsPath, host("192.0.2.1"), 200},
		{"IPv6 address", metricsPath, host("[2001:db8::1]:80"), 200},
		{"IPv6 address without port", metricsPath, host("[::1]"), 200},
		{"localhost", metricsPath, host("LocalHost.:9586"), 200},
		{"name of the options", metricsPath, host("router.example:9586"), 200},
		{"name of a stranger", metricsPath, host("rebind.example.net:9586"), 421},
		{"name of a stranger, health", healthPath, host("rebind.example.net"), 421},
		{"name that ends like one of ours", metricsPath, host("evil-router.example"), 421},
		{"name under localhost", metricsPath, host("a.localhost"), 421},
		{"address as a label", metricsPath, host("127.0.0.1.example.net"), 421},
		{"number that browsers take for an address", metricsPath, host("2130706433"), 421},
		{"POST", metricsPath, method(http.MethodPost), 405},
		{"PUT", statusPath, method(http.MethodPut), 405},
		{"DELETE", statusPath, method(http.MethodDelete), 405},
		{"OPTIONS", metricsPath, method(http.MethodOptions), 405},
		{"TRACE", metricsPath, method(http.MethodTrace), 405},
		{"made-up method", metricsPath, method("BREW"), 405},
		{"long query", metricsPath + "?" + strings.Repeat("a", maxQuery+1), nil, 414},
		{"query", metricsPath + "?" + strings.Repeat("a", maxQuery), nil, 200},
		{"body", metricsPath, func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("x")), 1
		}, 413},
		{"body in chunks", metricsPath, func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("x")), -1
		}, 413},
		{"own page asks", dataPath, header("Sec-Fetch-Site", "same-origin"), 200},
		{"typed in", metricsPath, header("Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate"), 200},
		{"image of another site", metricsPath, header("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"), 403},
		{"another port of this host", statusPath, header("Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors"), 403},
		{"link to the data", statusPath, header("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"), 403},
		{"link to the page", pagePath, header("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"), 200},
		{"frame with the page", pagePath, header("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"), 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := request(t, http.MethodGet, tt.path)
			if tt.change != nil {
				tt.change(r)
			}
			before := asked.Load()
			resp, body := ask(t, c, r)
			// There may be no sample yet.
			if resp.StatusCode != tt.want && (tt.path != dataPath || resp.StatusCode != 204) {
				t.Errorf("%s %q, want %d", resp.Status, body, tt.want)
			}
			if tt.want != 200 {
				if asked.Load() != before {
					t.Error("the question was passed on")
				}
				if resp.Header.Get("Access-Control-Allow-Origin") != "" {
					t.Error("other sites may read the answer")
				}
			}
		})
	}
}

func TestHugeHeaderIsRefused(t *testing.T) {
	testutil.LeakCheck(t)
	asked := new(atomic.Int32)
	s, _ := serveTest(t, Options{Metrics: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) })})
	for _, start := range []string{"GET /metrics?", "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-A: "} {
		c := dial(t, s)
		// The server may end the connection before all of it is there.
		io.WriteString(c, start+strings.Repeat("a", 1<<20)+"\r\n\r\n")
		if b, err := io.ReadAll(c); err == nil && !strings.HasPrefix(string(b), "HTTP/1.1 431 ") {
			t.Errorf("%q: %.100q", start, b)
		}
	}
	if asked.Load() != 0 {
		t.Error("the question was passed on")
	}
}

func TestHTTP10WithoutHostIsRefused(t *testing.T) {
	testutil.LeakCheck(t)
	s, _ := serveTest(t, everything())
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /metrics HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(b), "HTTP/1.0 421 ") {
		t.Fatalf("%q, %v", b, err)
	}
}

func TestToken(t *testing.T) {
	testutil.LeakCheck(t)
	o := everything()
	o.Token = "s3cret-of-16-bytes"
	_, c := serveTest(t, o)
	for _, tt := range []struct {
		path, authorization string
		want                int
	}{
		{healthPath, "", 200},
		{metricsPath, "", 401},
		{pagePath, "", 200}, // the same for everybody
		{readyPath, "", 401},
		{statusPath, "", 401},
		{dataPath, "", 401},
		{"/nothing", "", 401},
		{metricsPath, "Bearer s3cret-of-16-bytes", 200},
		{metricsPath, "bearer  s3cret-of-16-bytes", 200},
		{metricsPath, "Bearer s3cret-of-16-byteS", 401},
		{metricsPath, "Bearer s3cret-of-16-byte", 401},
		{metricsPath, "Bearer ", 401},
		{metricsPath, "s3cret-of-16-bytes", 401},
		{metricsPath, "Basic !", 401},
	} {
		r := request(t, http.MethodGet, tt.path)
		if tt.authorization != "" {
			r.Header.Set("Authorization", tt.authorization)
		}
		resp, body := ask(t, c, r)
		if resp.StatusCode != tt.want {
			t.Errorf("%s with %q: %s, want %d", tt.path, tt.authorization, resp.Status, tt.want)
		}
		if offered := strings.Join(resp.Header.Values("WWW-Authenticate"), " "); tt.want == 401 &&
			(!strings.Contains(offered, "Bearer") || strings.Contains(offered, "Basic") != (tt.path != dataPath)) {
			t.Errorf("%s: offered %q", tt.path, offered)
		}
		if strings.Contains(body, o.Token) {
			t.Errorf("%s: the token is in the answer", tt.path)
		}
	}
	r := request(t, http.MethodGet, readyPath)
	r.SetBasicAuth("anybody", o.Token)
	if resp, _ := ask(t, c, r); resp.StatusCode != 200 {
		t.Errorf("as a password: %s", resp.Status)
	}
	r.SetBasicAuth(o.Token, "")
	if resp, _ := ask(t, c, r); resp.StatusCode != 401 {
		t.Errorf("as a user: %s", resp.Status)
	}
}

func TestListenRefuses(t *testing.T) {
	for _, tt := range []struct {
		o    Options
		want string // in the error; empty: accepted
	}{
		{Options{Listen: "127.0.0.1:0"}, ""},
		{Options{Listen: "localhost:0"}, ""},
		{Options{Listen: "[::ffff:127.0.0.1]:0"}, ""},
		{Options{Listen: "0.0.0.0:0", Token: "tok-en"}, ""},
		{Options{Listen: ":0", AllowRemote: true}, ""},
		{Options{Listen: ":0"}, "set a token"},
		{Options{Listen: "0.0.0.0:0"}, "set a token"},
		{Options{Listen: "[::]:0"}, "set a token"},
		{Options{Listen: "192.0.2.1:0"}, "set a token"},
		{Options{Listen: "router.example:0", Token: "tok-en"}, "IP address or localhost"},
		{Options{Listen: "9586"}, "ADDRESS:PORT"},
		{Options{Listen: ""}, "ADDRESS:PORT"},
		{Options{Listen: "127.0.0.1:99999"}, "99999"},
		{Options{Listen: "unix:"}, "no path"},
		{Options{Listen: "127.0.0.1:0", Token: "with space"}, "printable"},
		{Options{Listen: "127.0.0.1:0", Token: "with\nline"}, "printable"},
	} {
		s, err := Listen(&tt.o)
		if err == nil {
			s.Close()
		}
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.o, err, tt.want)
		}
		if err != nil && tt.o.Token != "" && strings.Contains(err.Error(), tt.o.Token) {
			t.Errorf("%q: the token is in the error", err)
		}
	}
}

func TestReadiness(t *testing.T) {
	testutil.LeakCheck(t)
	o := everything()
	o.Ready = func() []NotReady { return []NotReady{{Peer: "abc=", Name: "office", Reason: "no handshake for 4m"}} }
	_, c := serveTest(t, o)
	resp, body := get(t, c, readyPath)
	if want := `{"ready":false,"missing":[{"peer":"abc=","name":"office","reason":"no handshake for 4m"}]}` + "\n"; resp.StatusCode != 503 || body != want {
		t.Errorf("%s %q, want %q", resp.Status, body, want)
	}
}

func TestStatusIsAskedForOnce(t *testing.T) {
	testutil.LeakCheck(t)
	asked, hold := new(atomic.Int32), make(chan struct{})
	_, c := serveTest(t, Options{timing: timing{status: time.Hour}, Status: func() (any, error) {
		<-hold
		return asked.Add(1), nil
	}})
	var wg sync.WaitGroup
	bodies := make(chan string, 8)
	for range cap(bodies) {
		wg.Go(func() {
			resp, err := c.Get("http://127.0.0.1" + statusPath)
			if err != nil {
				bodies <- err.Error()
				return
			}
			defer resp.Body.Close()
			b, _ := io.ReadAll(resp.Body)
			bodies <- string(b)
		})
	}
	close(hold)
	wg.Wait()
	for range cap(bodies) {
		if b := <-bodies; b != "1\n" {
			t.Errorf("got %q, want the first answer", b)
		}
	}
}

func TestStatusErrorsAreNotShownNorKept(t *testing.T) {
	testutil.LeakCheck(t)
	answers := []func() (any, error){
		func() (any, error) { return nil, errors.New("private matter") },
		func() (any, error) { return func() {}, nil }, // has no JSON
		func() (any, error) { return "fine", nil },
	}
	n := 0
	_, c := serveTest(t, Options{Status: func() (any, error) { n++; return answers[n-1]() }})
	for i, want := range []string{"status is not available\n", "status is not available\n", "\"fine\"\n"} {
		if _, body := get(t, c, statusPath); body != want {
			t.Errorf("answer %d: %q, want %q", i, body, want)
		}
	}
}

func TestUnixSocket(t *testing.T) {
	testutil.LeakCheck(t)
	path := filepath.Join(t.TempDir(), "run", "wg0.http")
	o := everything()
	o.Listen = "unix:" + path
	t.Cleanup(func() { // after the server's end
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is still there: %v", err)
		}
		if rest, err := os.ReadDir(filepath.Dir(path)); err != nil || len(rest) > 0 {
			t.Errorf("left in its directory: %v, %v", rest, err)
		}
	})
	s, c := serveTest(t, o)
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != os.ModeSocket|socketMode {
		t.Errorf("mode %v", info.Mode())
	}
	if s.Addr().String() != path {
		t.Errorf("address %v", s.Addr())
	}
	r := request(t, http.MethodGet, healthPath)
	r.Host = "whatever" // no name server leads to a file
	if resp, _ := ask(t, c, r); resp.StatusCode != 200 {
		t.Error(resp.Status)
	}
	if _, err := Listen(&o); !errors.Is(err, socketfile.ErrInUse) {
		t.Errorf("second server at the path: %v", err)
	}
}

func TestUnixSocketIsNotStolen(t *testing.T) {
	testutil.LeakCheck(t)
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(&Options{Listen: "unix:" + plain}); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("at a file: %v", err)
	}
	if _, err := Listen(&Options{Listen: "unix:" + filepath.Join(dir, strings.Repeat("l", 120))}); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("long path: %v", err)
	}
	path := filepath.Join(dir, "s")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	s, err := Listen(&Options{Listen: "unix:" + path})
	if err != nil {
		t.Fatalf("over a stale socket: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("another's file was removed: %v", err)
	}
}

func TestLifecycle(t *testing.T) {
	testutil.LeakCheck(t)
	s, err := Listen(&Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := s.Run(context.Background()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run after Close: %v", err)
	}

	in, hold := make(chan struct{}), make(chan struct{})
	s, err = Listen(&Options{Listen: "127.0.0.1:0", Status: func() (any, error) { close(in); <-hold; return 1, nil }})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(context.Background()) }()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", statusPath)
	<-in
	if err := s.Run(context.Background()); err == nil {
		t.Error("Run twice")
	}
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	if _, err := io.ReadAll(c); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("connection: %v", err)
	}
	select {
	case err := <-closed:
		t.Errorf("Close did not wait for the question: %v", err)
	default:
	}
	close(hold)
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run: %v", err)
	}
}

func TestPageData(t *testing.T) {
	testutil.LeakCheck(t)
	loss := 0.25
	o := Options{Page: func() (*PageData, error) {
		return &PageData{
			Interface: "wg0", Started: time.Now().Add(-time.Hour),
			Peers:  []PagePeer{{PublicKey: "k", Latency: 20 * time.Millisecond, Loss: &loss, Handshake: time.Now().Add(-time.Minute), RxBytes: 7}},
			Relays: []PageRelay{{ID: "r", Up: true, Latency: time.Second}},
			Drops:  []PageDrop{{"filter", "denied", 5}},
		}, nil
	}}
	_, c := serveTest(t, o)
	var got map[string]any
	testutil.Eventually(t, 20*time.Second, "first sample", func() error {
		_, body := get(t, c, dataPath+"?since=x&history=%00")
		return json.Unmarshal([]byte(body), &got)
	})
	peer := got["peers"].([]any)[0].(map[string]any)
	if peer["latency_seconds"] != 0.02 || peer["loss"] != 0.25 || peer["rx_bytes"] != 7.0 {
		t.Errorf("peer %v", peer)
	}
	if age := peer["handshake_age_seconds"].(float64); age < 59 || age > 80 {
		t.Errorf("age of the handshake %v", age)
	}
	if up := got["uptime_seconds"].(float64); up < 3599 || up > 3620 {
		t.Errorf("uptime %v", up)
	}
	if r := got["relays"].([]any)[0].(map[string]any); r["latency_seconds"] != 1.0 || r["up"] != true {
		t.Errorf("relay %v", r)
	}
	if d := got["drops"].([]any)[0].(map[string]any); d["stage"] != "filter" || d["packets"] != 5.0 {
		t.Errorf("drop %v", d)
	}
}
