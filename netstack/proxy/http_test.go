// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/netstack"
	"github.com/tunrouter/tunrouter/netstack/netstacktest"
	"github.com/tunrouter/tunrouter/netstack/proxy"
)

// newHTTP returns a service on loopback that is not running yet.
func newHTTP(t *testing.T, n *netstack.Net, o proxy.HTTPOptions) *proxy.HTTP {
	t.Helper()
	o.Listen = "127.0.0.1:0"
	h, err := proxy.ListenHTTP(n, &o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// ask sends one request and returns the response with its body.
func ask(t *testing.T, c net.Conn, r *bufio.Reader, request string) (*http.Response, string) {
	t.Helper()
	io.WriteString(c, request)
	method, _, _ := strings.Cut(request, " ")
	res, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	return res, string(body)
}

// httpConnect connects to address through h.
func httpConnect(t *testing.T, h *proxy.HTTP, address, early string) *net.TCPConn {
	t.Helper()
	c := dialPort(t, h.Addr())
	io.WriteString(c, "CONNECT "+address+" HTTP/1.1\r\nHost: "+address+"\r\n\r\n"+early)
	const want = "HTTP/1.1 200 Connection established\r\n\r\n"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); string(got) != want || err != nil {
		t.Fatalf("got %q, %v", got, err)
	}
	return c
}

func TestHTTPConnectTransfer(t *testing.T) {
	a, b := pairOf(t)
	to := target(t, b, answerWhole)
	h := newHTTP(t, a, proxy.HTTPOptions{})
	running(t, h)
	if err := askWhole(httpConnect(t, h, to, "")); err != nil {
		t.Fatal(err)
	}
	h.Close()
	if st := h.Stats(); st.BytesOut != requestSize+32 || st.BytesIn != responseSize+32 || st.Resets != 0 || st.BadRequests != 0 {
		t.Errorf("got %+v", st)
	}
}

func TestHTTPConnectEarlyData(t *testing.T) {
	a, b := pairOf(t)
	to := target(t, b, echo)
	h := newHTTP(t, a, proxy.HTTPOptions{})
	running(t, h)
	early := strings.Repeat("early ", 100)
	c := httpConnect(t, h, to, early)
	c.CloseWrite()
	if got, err := io.ReadAll(c); string(got) != early || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestHTTPGoClient is what programs do: plain requests and TLS through CONNECT.
func TestHTTPGoClient(t *testing.T) {
	a, b := pairOf(t)
	port := web(t, b, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %d %s", r.Method, r.URL, len(body), r.Header.Get("Proxy-Authorization"))
	})
	h := newHTTP(t, a, proxy.HTTPOptions{Username: "user", Password: "pass:word"})
	running(t, h)
	client := proxied(t, "http://user:pass%3Aword@"+h.Addr().String())
	for _, method := range []string{"GET", "POST", "PUT", "DELETE", "PROPFIND"} {
		for _, chunked := range []bool{false, true} {
			var body io.Reader = strings.NewReader(strings.Repeat("b", 100000))
			if chunked {
				body = struct{ io.Reader }{body}
			}
			q, _ := http.NewRequest(method, "http://b.example:"+port+"/p?q=1;2", body)
			r, err := client.Do(q)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r.Body)
			r.Body.Close()
			if want := method + " /p?q=1;2 100000 "; string(got) != want || err != nil {
				t.Errorf("got %q, %v; want %q", got, err, want)
			}
		}
	}
	if st := h.Stats(); st.Accepted != 1 || st.AuthFailures != 0 {
		t.Errorf("got %+v", st)
	}
}

// TestHTTPForward checks what reaches origins, byte for byte, with several of
// them over one connection of the client.
func TestHTTPForward(t *testing.T) {
	a, b := pairOf(t)
	seen := make(chan string, 10)
	origin := func(answer string) string {
		return target(t, b, func(c net.Conn) {
			r := bufio.NewReader(c)
			for {
				var head strings.Builder
				for !strings.HasSuffix(head.String(), "\r\n\r\n") {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					head.WriteString(line)
				}
				lines := strings.Split(strings.TrimSuffix(head.String(), "\r\n\r\n"), "\r\n")
				slices.Sort(lines[1:])
				seen <- strings.Join(lines, "\n")
				io.WriteString(c, answer)
			}
		})
	}
	one := origin("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nProxy-Authenticate: Basic\r\nConnection: X-Hop\r\nX-Hop: 1\r\nX-End: 1\r\n\r\none")
	two := origin("HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\nContent-Type: text/x\r\n\r\n3\r\ntwo\r\n0\r\n\r\n")
	h := newHTTP(t, a, proxy.HTTPOptions{})
	running(t, h)
	c := dialPort(t, h.Addr())
	r := bufio.NewReader(c)
	for range 2 {
		res, body := ask(t, c, r, "GET http://"+one+"/a%2fb?x=%zz HTTP/1.1\r\nHost: wrong.example\r\n"+
			"Proxy-Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nConnection: X-Mine\r\nX-Mine: 1\r\n"+
			"X-Forwarded-For: 192.0.2.7\r\nCookie: c=1\r\n\r\n")
		if body != "one" || res.StatusCode != 200 {
			t.Errorf("got %v, %q", res.Status, body)
		}
		if res.Header.Get("X-Hop") != "" || res.Header.Get("Proxy-Authenticate") != "" || res.Header.Get("X-End") != "1" || res.Header["Content-Type"] != nil {
			t.Errorf("got headers %v", res.Header)
		}
		if got, want := <-seen, "GET /a%2fb?x=%zz HTTP/1.1\nCookie: c=1\nHost: "+one+"\nX-Forwarded-For: 192.0.2.7"; got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		res, body = ask(t, c, r, "OPTIONS http://"+two+" HTTP/1.1\r\nHost: "+two+"\r\nUser-Agent: me\r\n\r\n")
		if body != "two" || res.StatusCode != 404 || res.Header.Get("Content-Type") != "text/x" {
			t.Errorf("got %v, %q, %v", res.Status, body, res.Header)
		}
		if got, want := <-seen, "OPTIONS / HTTP/1.1\nHost: "+two+"\nUser-Agent: me"; got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
	// An old client: the connection ends with the response.
	res, body := ask(t, c, r, "GET http://"+two+"/ HTTP/1.0\r\n\r\n")
	if body != "two" || !res.Close {
		t.Errorf("HTTP/1.0: got %q, %v", body, res)
	}
	<-seen
	if n, err := r.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("HTTP/1.0: got %d, %v after the response", n, err)
	}
}

// TestHTTPOrigins checks that a client keeps its connection to an origin, and
// that no other client gets it: some origins know a client by it (RFC 4559).
func TestHTTPOrigins(t *testing.T) {
	a, b := pairOf(t)
	port := web(t, b, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) })
	h := newHTTP(t, a, proxy.HTTPOptions{})
	running(t, h)
	var seen []string
	for range 2 {
		c := dialPort(t, h.Addr())
		r := bufio.NewReader(c)
		request := "GET http://b.example:" + port + "/ HTTP/1.1\r\nHost: x\r\n\r\n"
		_, first := ask(t, c, r, request)
		_, second := ask(t, c, r, request)
		if first != second {
			t.Errorf("a client came from %s and %s", first, second)
		}
		seen = append(seen, first)
		c.Close()
	}
	if seen[0] == seen[1] {
		t.Errorf("two clients came from %s", seen[0])
	}
}

// TestHTTPExpect checks that a client that waits for leave to send its body
// gets it, and that it comes from the origin.
func TestHTTPExpect(t *testing.T) {
	a, b := pairOf(t)
	port := web(t, b, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		io.Copy(w, r.Body)
	})
	h := newHTTP(t, a, proxy.HTTPOptions{})
	running(t, h)
	send := func(path string) (*http.Response, *bufio.Reader, net.Conn) {
		c := dialPort(t, h.Addr())
		r := bufio.NewReader(c)
		io.WriteString(c, "POST http://b.example:"+port+path+" HTTP/1.1\r\nHost: b.example\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		return res, r, c
	}
	res, r, c := send("/yes")
	if res.StatusCode != http.StatusContinue {
		t.Fatalf("got %v", res.Status)
	}
	if res, body := ask(t, c, r, "body"); res.StatusCode != 200 || body != "body" {
		t.Errorf("got %v, %q", res.Status, body)
	}
	if res, _, _ = send("/no"); res.StatusCode != http.StatusForbidden {
		t.Errorf("got %v", res.Status)
	}
}

// TestHTTPUpgrade checks that what follows a 101 passes both ways.
func TestHTTPUpgrade(t *testing.T) {
	a, b := pairOf(t)
	to := target(t, b, func(c net.Conn) {
		r := bufio.NewReader(c)
		q, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\nfirst ", q.Header.Get("Upgrade"))
		io.Copy(c, r)
		c.(interface{ CloseWrite() error }).CloseWrite()
	})
	h := newHTTP(t, a, proxy.HTTPOptions{})
	running(t, h)
	c := dialPort(t, h.Addr())
	r := bufio.NewReader(c)
	io.WriteString(c, "GET http://"+to+"/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != 101 || res.Header.Get("Upgrade") != "websocket" {
		t.Fatalf("got %v, %v", res, err)
	}
	io.WriteString(c, "second")
	c.CloseWrite()
	if got, err := io.ReadAll(r); string(got) != "first second" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestHTTPStream checks that a part of a response does not wait for the next.
func TestHTTPStream(t *testing.T) {
	a, b := pairOf(t)
	next := make(chan struct{})
	port := web(t, b, func(w http.ResponseWriter, r *http.Request) {
		for range 3 {
			io.WriteString(w, "data: x\n\n")
			w.(http.Flusher).Flush()
			<-next // the client has it
		}
	})
	h := newHTTP(t, a, proxy.HTTPOptions{})
	running(t, h)
	client := proxied(t, "http://"+h.Addr().String())
	r, err := client.Get("http://b.example:" + port)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	for range 3 {
		if _, err := io.ReadFull(r.Body, make([]byte, len("data: x\n\n"))); err != nil {
			t.Fatal(err)
		}
		next <- struct{}{}
	}
	if n, err := r.Body.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("got %d, %v", n, err)
	}
}

// TestHTTPDuplex checks that an origin may answer before it has got all.
func TestHTTPDuplex(t *testing.T) {
	a, b := pairOf(t)
	port := web(t, b, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		rc.EnableFullDuplex()
		for buf := make([]byte, 5); ; {
			if _, err := io.ReadFull(r.Body, buf); err != nil {
				return
			}
			w.Write(buf)
			rc.Flush()
		}
	})
	h := newHTTP(t, a, proxy.HTTPOptions{})
	running(t, h)
	body, w := io.Pipe()
	defer w.Close()
	q, _ := http.NewRequest("POST", "http://b.example:"+port, body)
	go io.WriteString(w, "first")
	res, err := proxied(t, "http://"+h.Addr().String()).Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	for _, say := range []string{"first", "again", "third"} {
		if say != "first" {
			io.WriteString(w, say)
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(res.Body, got); string(got) != say || err != nil {
			t.Fatalf("got %q, %v; want %q", got, err, say)
		}
	}
	w.Close()
	if rest, err := io.ReadAll(res.Body); len(rest) > 0 || err != nil {
		t.Errorf("got %q, %v at the end", rest, err)
	}
}

// TestHTTPErrors checks the answers to what cannot be served.
func TestHTTPErrors(t *testing.T) {
	a, b := pairOf(t)
	breaks := target(t, b, func(c net.Conn) { io.WriteString(c, "nonsense\r\n") })
	h := newHTTP(t, a, proxy.HTTPOptions{})
	h.SetDialTimeout(300 * time.Millisecond)
	running(t, h)
	for _, tc := range []struct {
		request string
		code    int
		text    string
		count   func(s *proxy.Stats) uint64
	}{
		{"GET / HTTP/1.1\r\nHost: b.example\r\n\r\n", 400, "not a web server", badRequests},
		{"OPTIONS * HTTP/1.1\r\nHost: b.example\r\n\r\n", 400, "not a web server", badRequests},
		{"GET https://b.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n", 400, "CONNECT", badRequests},
		{"CONNECT b.example HTTP/1.1\r\nHost: b.example\r\n\r\n", 400, "host:port", badRequests},
		{"CONNECT b.example:80 HTTP/1.1\r\nHost: b.example:80\r\nContent-Length: 3\r\n\r\nabc", 400, "no content", badRequests},
		{"CONNECT b.example:7 HTTP/1.1\r\nHost: b.example:7\r\n\r\n", 502, "refused", dialRefused},
		{"GET http://b.example:7/ HTTP/1.1\r\nHost: b.example:7\r\n\r\n", 502, "refused", dialRefused},
		{"CONNECT nowhere.example:80 HTTP/1.1\r\nHost: x\r\n\r\n", 502, "not found", dialNotFound},
		{"GET http://nowhere.example/ HTTP/1.1\r\nHost: x\r\n\r\n", 502, "not found", dialNotFound},
		{"CONNECT 192.0.2.1:80 HTTP/1.1\r\nHost: x\r\n\r\n", 504, "in time", dialTimeouts},
		{"GET http://192.0.2.1/ HTTP/1.1\r\nHost: x\r\n\r\n", 504, "in time", dialTimeouts},
		{"GET http://" + breaks + "/ HTTP/1.1\r\nHost: x\r\n\r\n", 502, "failed", nil},
		{"nonsense\r\n\r\n", 400, "400", nil},
		{"GET http://b.example/ HTTP/1.1\r\nX: " + strings.Repeat("x", 80<<10), 431, "", nil},
	} {
		before := h.Stats()
		c := dialPort(t, h.Addr())
		res, body := ask(t, c, bufio.NewReader(c), tc.request)
		name := tc.request[:min(40, len(tc.request))]
		if res.StatusCode != tc.code || !strings.Contains(body, tc.text) {
			t.Errorf("%q: got %v, %q", name, res.Status, body)
		}
		if strings.Contains(body, netstacktest.A4.String()) || strings.Contains(body, "dial") {
			t.Errorf("%q: tells too much: %q", name, body)
		}
		if after := h.Stats(); tc.count != nil && tc.count(&after) != tc.count(&before)+1 {
			t.Errorf("%q: not counted: %+v", name, after)
		}
	}
	testutil.Eventually(t, testTimeout, "those that package http answers are counted", func() error {
		if n := h.Stats().BadRequests; n != 7 {
			return fmt.Errorf("%d bad requests", n)
		}
		return nil
	})
}

// TestHTTPStrangers checks that clients of other protocols get nothing, and
// that those too slow are let go.
func TestHTTPStrangers(t *testing.T) {
	a, _ := pairOf(t)
	for _, tc := range []struct {
		send  string
		count func(s *proxy.Stats) uint64
	}{
		{"\x05\x01\x00", badRequests},
		{"\x04\x01\x00\x07\x0a\x63\x00\x02\x00", badRequests},
		{"\x16\x03\x01\x02\x00\x01\x00", badRequests},
		{"", timeouts},
		{"GET http://b.exam", timeouts},
		{"GET http://b.example/ HTTP/1.1\r\nHost: b.example\r\n", timeouts},
	} {
		h := newHTTP(t, a, proxy.HTTPOptions{})
		h.SetHeaderTimeout(50 * time.Millisecond)
		running(t, h)
		c := dialPort(t, h.Addr())
		io.WriteString(c, tc.send)
		got, err := io.ReadAll(c)
		if bytes.HasPrefix(got, []byte("HTTP/1.1 400 ")) && tc.send != "" && tc.send[0] == 'G' {
			got = nil // half a line: package http's answer
		}
		if len(got) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%q: got %q, %v", tc.send, got, err)
		}
		h.Close()
		if st := h.Stats(); tc.count(&st) != 1 || st.BadRequests+st.Timeouts != 1 {
			t.Errorf("%q: got %+v", tc.send, st)
		}
	}
}

func timeouts(s *proxy.Stats) uint64 { return s.Timeouts }

// TestHTTPIdle checks that a silent connection between requests ends, which is
// no mistake of the client's.
func TestHTTPIdle(t *testing.T) {
	a, b := pairOf(t)
	port := web(t, b, func(http.ResponseWriter, *http.Request) {})
	h := newHTTP(t, a, proxy.HTTPOptions{})
	h.SetIdleTimeout(50 * time.Millisecond)
	running(t, h)
	c := dialPort(t, h.Addr())
	r := bufio.NewReader(c)
	ask(t, c, r, "GET http://b.example:"+port+"/ HTTP/1.1\r\nHost: x\r\n\r\n")
	if n, err := r.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("got %d, %v", n, err)
	}
	h.Close()
	if st := h.Stats(); st.Timeouts+st.BadRequests != 0 {
		t.Errorf("got %+v", st)
	}
}

func TestHTTPPassword(t *testing.T) {
	a, b := pairOf(t)
	to := target(t, b, echo)
	h := newHTTP(t, a, proxy.HTTPOptions{Username: "user", Password: "pass"})
	h.SetPenalty(time.Millisecond)
	running(t, h)
	c := dialPort(t, h.Addr())
	r := bufio.NewReader(c)
	basic := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	wrong := []string{"", basic("user:nope"), basic("ruse:pass"), basic("user"), "Bearer pass", "Basic !"}
	for _, credentials := range wrong {
		for _, request := range []string{"CONNECT " + to, "GET http://" + to + "/"} {
			res, _ := ask(t, c, r, request+" HTTP/1.1\r\nHost: x\r\nProxy-Authorization: "+credentials+"\r\n\r\n")
			if res.StatusCode != http.StatusProxyAuthRequired || !strings.HasPrefix(res.Header.Get("Proxy-Authenticate"), "Basic ") {
				t.Errorf("%q: got %v, %v", credentials, res.Status, res.Header)
			}
		}
	}
	io.WriteString(c, "CONNECT "+to+" HTTP/1.1\r\nHost: x\r\nProxy-Authorization: "+basic("user:pass")+"\r\n\r\n")
	res, err := http.ReadResponse(r, &http.Request{Method: "CONNECT"})
	if err != nil || res.StatusCode != 200 {
		t.Errorf("right password: got %v, %v", res, err)
	}
	if n := h.Stats().AuthFailures; n != uint64(2*len(wrong)) {
		t.Errorf("counted %d wrong passwords", n)
	}
}

// certificate writes a certificate for 127.0.0.1 and its key to files.
func certificate(t *testing.T) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, b []byte) string {
		name = filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	parsed, err := x509.ParseCertificate(cert)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(parsed)
	return write("cert.pem", "CERTIFICATE", cert), write("key.pem", "PRIVATE KEY", private), pool
}

func TestHTTPTLS(t *testing.T) {
	a, b := pairOf(t)
	certFile, keyFile, pool := certificate(t)
	to := target(t, b, answerWhole)
	port := web(t, b, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })
	h := newHTTP(t, a, proxy.HTTPOptions{CertFile: certFile, KeyFile: keyFile})
	running(t, h)

	u := &url.URL{Scheme: "https", Host: h.Addr().String()}
	tr := &http.Transport{Proxy: http.ProxyURL(u), TLSClientConfig: &tls.Config{RootCAs: pool}}
	defer tr.CloseIdleConnections()
	r, err := (&http.Client{Transport: tr}).Get("http://b.example:" + port)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	r.Body.Close()
	if string(body) != "hello" || err != nil {
		t.Errorf("got %q, %v", body, err)
	}

	c := tls.Client(dialPort(t, h.Addr()), &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"})
	io.WriteString(c, "CONNECT "+to+" HTTP/1.1\r\nHost: x\r\n\r\n")
	reply := make([]byte, len("HTTP/1.1 200 Connection established\r\n\r\n"))
	if _, err := io.ReadFull(c, reply); err != nil {
		t.Fatal(err)
	}
	if err := askWhole(c); err != nil {
		t.Error(err)
	}

	plain := dialPort(t, h.Addr())
	res, text := ask(t, plain, bufio.NewReader(plain), "GET http://b.example/ HTTP/1.1\r\nHost: x\r\n\r\n")
	if res.StatusCode != 400 || !strings.Contains(text, "TLS") {
		t.Errorf("without TLS: got %v, %q", res.Status, text)
	}
	for _, o := range []proxy.HTTPOptions{{CertFile: certFile}, {CertFile: keyFile, KeyFile: certFile}, {CertFile: "nowhere", KeyFile: "nowhere"}} {
		o.Listen = "127.0.0.1:0"
		if h, err := proxy.ListenHTTP(a, &o); err == nil {
			h.Close()
			t.Errorf("%q and %q are fine", o.CertFile, o.KeyFile)
		}
	}
}

// TestHTTPCutOff checks that a response that breaks off does not look complete,
// not even where its end is the end of the connection.
func TestHTTPCutOff(t *testing.T) {
	a, b := pairOf(t)
	to := target(t, b, func(c net.Conn) {
		http.ReadRequest(bufio.NewReader(c)) // any will do
		io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\nhalf")
		time.Sleep(10 * time.Millisecond)
		c.(interface{ SetLinger(int) error }).SetLinger(0)
	})
	h := newHTTP(t, a, proxy.HTTPOptions{})
	running(t, h)
	for _, version := range []string{"1.0", "1.1"} {
		c := dialPort(t, h.Addr())
		io.WriteString(c, "GET http://"+to+"/ HTTP/"+version+"\r\nHost: x\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			continue // so early that there is no response
		}
		if body, err := io.ReadAll(res.Body); err == nil {
			t.Errorf("HTTP/%s: got %q and a clean end", version, body)
		}
	}
}

func TestHTTPMany(t *testing.T) {
	a, b := pairOf(t)
	port := web(t, b, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Write(body)
	})
	h := newHTTP(t, a, proxy.HTTPOptions{})
	running(t, h)
	var wg sync.WaitGroup
	client := proxied(t, "http://"+h.Addr().String())
	for i := range 200 {
		wg.Go(func() {
			body := bytes.Repeat([]byte{byte(i)}, 20000)
			r, err := client.Post("http://b.example:"+port, "", bytes.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			defer r.Body.Close()
			if got, err := io.ReadAll(r.Body); !bytes.Equal(got, body) || err != nil {
				t.Errorf("client %d: got %d bytes, %v", i, len(got), err)
			}
		})
	}
	wg.Wait()
}

// TestHTTPCloseBusy closes a service whose clients are at every stage.
func TestHTTPCloseBusy(t *testing.T) {
	a, b := pairOf(t)
	to := target(t, b, func(c net.Conn) {
		r := bufio.NewReader(c)
		if first, _ := r.Peek(3); string(first) == "GET" {
			io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		}
		for _, err := c.Write(make([]byte, 1000)); err == nil; _, err = c.Write(make([]byte, 1000)) {
		}
	})
	h := newHTTP(t, a, proxy.HTTPOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	for _, stage := range []string{"", "G", "GET http://192.0.2.1/ HTTP/1.1\r\nHost: x\r\n\r\n", "CONNECT 192.0.2.1:80 HTTP/1.1\r\nHost: x\r\n\r\n"} {
		c := dialPort(t, h.Addr())
		io.WriteString(c, stage)
	}
	var clients sync.WaitGroup
	for range 8 {
		tunnel, plain := httpConnect(t, h, to, "x23"), dialPort(t, h.Addr())
		io.WriteString(plain, "GET http://"+to+"/ HTTP/1.1\r\nHost: x\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(plain), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range []io.Reader{tunnel, res.Body} {
			clients.Go(func() {
				if _, err := io.Copy(io.Discard, r); err == nil {
					t.Error("a flow that was cut off looks complete")
				}
			})
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	clients.Wait()
	if n := h.Stats().Active; n != 0 {
		t.Errorf("%d are active", n)
	}
}
