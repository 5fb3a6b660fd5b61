// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
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

// newSOCKS returns a service on loopback that is not running yet.
func newSOCKS(t *testing.T, n *netstack.Net, o proxy.SOCKS5Options) *proxy.SOCKS5 {
	t.Helper()
	o.Listen = "127.0.0.1:0"
	s, err := proxy.ListenSOCKS5(n, &o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// socksTo returns the request to connect to host:port, greeting included.
func socksTo(t *testing.T, address string) []byte {
	t.Helper()
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		t.Fatal(err)
	}
	b := []byte{5, 1, 0, 5, 1, 0, 1}
	if ap.Addr().Is6() {
		b[6] = 4
	}
	b = append(b, ap.Addr().AsSlice()...)
	return append(b, byte(ap.Port()>>8), byte(ap.Port()))
}

// socksDial connects to address through s; early is sent with the request.
func socksDial(t *testing.T, s *proxy.SOCKS5, address, early string) *net.TCPConn {
	t.Helper()
	c := dialPort(t, s.Addr())
	c.Write(append(socksTo(t, address), early...))
	reply := make([]byte, 2+10)
	if _, err := io.ReadFull(c, reply); err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(reply, []byte{5, 0, 5, 0, 0, 1, 10, 99, 0, 1}) {
		t.Fatalf("got reply %x", reply)
	}
	return c
}

func TestSOCKSTransfer(t *testing.T) {
	a, b := pairOf(t)
	to := target(t, b, answerWhole)
	s := newSOCKS(t, a, proxy.SOCKS5Options{})
	running(t, s)
	if err := askWhole(socksDial(t, s, to, "")); err != nil {
		t.Fatal(err)
	}
	s.Close()
	st := s.Stats()
	if st.BytesOut != requestSize+32 || st.BytesIn != responseSize+32 {
		t.Errorf("counted %d bytes out and %d in", st.BytesOut, st.BytesIn)
	}
	if st.Accepted != 1 || st.Resets != 0 || st.BadRequests != 0 {
		t.Errorf("got %+v", st)
	}
}

func TestSOCKSEarlyData(t *testing.T) {
	a, b := pairOf(t)
	to := target(t, b, echo)
	s := newSOCKS(t, a, proxy.SOCKS5Options{})
	running(t, s)
	early := strings.Repeat("early ", 100)
	c := socksDial(t, s, to, early)
	c.CloseWrite()
	if got, err := io.ReadAll(c); string(got) != early || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestSOCKSAnswers checks what each kind of client hears, to the last byte.
func TestSOCKSAnswers(t *testing.T) {
	const (
		zeros = "\x00\x01\x00\x00\x00\x00\x00\x00"
		login = "\x05\x01\x02\x01\x04user\x04pass"
	)
	name := func(host string) string {
		return "\x05\x01\x00\x05\x01\x00\x03" + string(rune(len(host))) + host + "\x00\x07"
	}
	for _, tc := range []struct {
		name     string
		password bool
		send     string
		want     string
		count    func(s *proxy.Stats) uint64
	}{
		{"no method of ours", false, "\x05\x01\x01", "\x05\xff", authFailures},
		{"no methods", false, "\x05\x00", "\x05\xff", authFailures},
		{"password asked for, none offered", true, "\x05\x01\x00", "\x05\xff", authFailures},
		{"wrong password", true, "\x05\x02\x00\x02\x01\x04user\x04nope", "\x05\x02\x01\x01", authFailures},
		{"wrong name", true, "\x05\x01\x02\x01\x04ruse\x04pass", "\x05\x02\x01\x01", authFailures},
		{"other version of passwords", true, "\x05\x01\x02\x02\x04user\x04pass", "\x05\x02", badRequests},
		{"right password, BIND", true, login + "\x05\x02\x00\x01\x0a\x63\x00\x02\x00\x07", "\x05\x02\x01\x00\x05\x07" + zeros, badRequests},
		{"any password will do", false, login + "\x05\x02\x00\x01\x0a\x63\x00\x02\x00\x07", "\x05\x02\x01\x00\x05\x07" + zeros, badRequests},
		{"unknown command", false, "\x05\x01\x00\x05\x09\x00\x01\x0a\x63\x00\x02\x00\x07", "\x05\x00\x05\x07" + zeros, badRequests},
		{"ASSOCIATE where it is disabled", false, "\x05\x01\x00\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00", "\x05\x00\x05\x07" + zeros, badRequests},
		{"unknown type of address", false, "\x05\x01\x00\x05\x01\x00\x02\x0a\x63\x00\x02\x00\x07", "\x05\x00\x05\x08" + zeros, badRequests},
		{"empty name", false, name(""), "\x05\x00\x05\x01" + zeros, badRequests},
		{"version of the request", false, "\x05\x01\x00\x04\x01\x00\x01\x0a\x63\x00\x02\x00\x07", "\x05\x00\x05\x01" + zeros, badRequests},
		{"SOCKS 4", false, "\x04\x01\x00\x07\x0a\x63\x00\x02\x00", "\x00\x5b\x00\x00\x00\x00\x00\x00", badRequests},
		{"garbage", false, "\xff\xfe\xfd", "", badRequests},
		{"TLS", false, "\x16\x03\x01\x02\x00", "", badRequests},
		{"half a greeting", false, "\x05\x03\x00", "", badRequests},
		{"half a request", false, "\x05\x01\x00\x05\x01", "\x05\x00", badRequests},
		{"refused", false, "\x05\x01\x00\x05\x01\x00\x01\x0a\x63\x00\x02\x00\x07", "\x05\x00\x05\x05" + zeros, dialRefused},
		{"refused name", false, name("b.example"), "\x05\x00\x05\x05" + zeros, dialRefused},
		{"unknown name", false, name("nowhere.example"), "\x05\x00\x05\x04" + zeros, dialNotFound},
		{"no answer", false, "\x05\x01\x00\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x07", "\x05\x00\x05\x06" + zeros, dialTimeouts},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, _ := pairOf(t)
			o := proxy.SOCKS5Options{DisableUDP: true}
			if tc.password {
				o.Username, o.Password = "user", "pass"
			}
			s := newSOCKS(t, a, o)
			s.SetDialTimeout(300 * time.Millisecond)
			running(t, s)
			c := dialPort(t, s.Addr())
			io.WriteString(c, tc.send)
			c.CloseWrite()
			got, err := io.ReadAll(c)
			if err != nil {
				t.Errorf("reading the answer: %v", err)
			}
			if string(got) != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			s.Close()
			st := s.Stats()
			if n := tc.count(&st); n != 1 {
				t.Errorf("counted %d: %+v", n, st)
			}
			if n := st.AuthFailures + st.BadRequests + st.Timeouts + st.DialFailures.Sum(); n != 1 {
				t.Errorf("counted more than one thing: %+v", st)
			}
		})
	}
}

func authFailures(s *proxy.Stats) uint64 { return s.AuthFailures }
func badRequests(s *proxy.Stats) uint64  { return s.BadRequests }
func dialRefused(s *proxy.Stats) uint64  { return s.DialFailures.Refused }
func dialNotFound(s *proxy.Stats) uint64 { return s.DialFailures.NotFound }
func dialTimeouts(s *proxy.Stats) uint64 { return s.DialFailures.Timeout }

// TestSOCKSHTTPClient checks that a program set up for an HTTP proxy is told.
func TestSOCKSHTTPClient(t *testing.T) {
	a, _ := pairOf(t)
	s := newSOCKS(t, a, proxy.SOCKS5Options{})
	running(t, s)
	for _, method := range []string{"GET", "CONNECT", "POST"} {
		c := dialPort(t, s.Addr())
		io.WriteString(c, method+" http://b.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n")
		r, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r.Body)
		if r.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), "SOCKS 5") || err != nil {
			t.Errorf("%s: got %v, %q, %v", method, r.Status, text, err)
		}
	}
	s.Close()
	if n := s.Stats().BadRequests; n != 3 {
		t.Errorf("counted %d bad requests", n)
	}
}

// TestSOCKSSlow checks that a client that does not finish is let go, wherever
// it stops.
func TestSOCKSSlow(t *testing.T) {
	whole := "\x05\x01\x02\x01\x04user\x04pass\x05\x01\x00\x03\x09b.example\x00\x07"
	for _, n := range []int{0, 1, 2, 3, 5, 9, 14, 16, 20, 25, len(whole) - 1} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			a, _ := pairOf(t)
			s := newSOCKS(t, a, proxy.SOCKS5Options{Username: "user", Password: "pass"})
			s.SetHandshakeTimeout(50 * time.Millisecond)
			running(t, s)
			c := dialPort(t, s.Addr())
			io.WriteString(c, whole[:n])
			io.ReadAll(c) // it ends either way
			s.Close()
			if st := s.Stats(); st.Timeouts != 1 || st.BadRequests != 0 {
				t.Errorf("got %+v", st)
			}
		})
	}
}

// proxied returns a client that goes through a proxy.
func proxied(t *testing.T, rawURL string) *http.Client {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{Proxy: http.ProxyURL(u)}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: testTimeout}
}

// web serves HTTP on a port of b.
func web(t *testing.T, b *netstack.Net, h http.HandlerFunc) string {
	t.Helper()
	l, err := b.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	var wg sync.WaitGroup
	wg.Go(func() { srv.Serve(l) })
	t.Cleanup(func() {
		srv.Close()
		wg.Wait()
	})
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func TestSOCKSGoClient(t *testing.T) {
	a, b := pairOf(t)
	port := web(t, b, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello "+r.Host) })
	for _, userinfo := range []string{"", "user:pass@"} {
		o := proxy.SOCKS5Options{}
		if userinfo != "" {
			o.Username, o.Password = "user", "pass"
		}
		s := newSOCKS(t, a, o)
		running(t, s)
		client := proxied(t, "socks5://"+userinfo+s.Addr().String())
		for _, host := range []string{"b.example", netstacktest.B4.String(), "[" + netstacktest.B6.String() + "]"} {
			r, err := client.Get("http://" + host + ":" + port + "/")
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(r.Body)
			r.Body.Close()
			if want := "hello " + host + ":" + port; string(body) != want || err != nil {
				t.Errorf("got %q, %v; want %q", body, err, want)
			}
		}
		client.CloseIdleConnections()
	}
}

// TestSOCKSReset checks both ways that what is cut off does not look complete.
func TestSOCKSReset(t *testing.T) {
	a, b := pairOf(t)
	accepted, seen := make(chan bool, 2), make(chan error, 1)
	to := target(t, b, func(c net.Conn) {
		accepted <- true
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			seen <- err
			return
		}
		c.Write([]byte("half"))
		c.(interface{ SetLinger(int) error }).SetLinger(0)
	})
	s := newSOCKS(t, a, proxy.SOCKS5Options{})
	running(t, s)

	c := socksDial(t, s, to, "x")
	if got, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("target resets: got %q, %v", got, err)
	}
	<-accepted
	c = socksDial(t, s, to, "")
	// The client is told before the target's stack has the last packet of the
	// handshake; a reset then ends what no Accept has returned, or ever will.
	<-accepted
	c.SetLinger(0)
	c.Close()
	if err := <-seen; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("client resets: got %v", err)
	}
	s.Close()
	if n := s.Stats().Resets; n != 2 {
		t.Errorf("counted %d resets", n)
	}
}

func TestSOCKSLimit(t *testing.T) {
	a, b := pairOf(t)
	to := target(t, b, echo)
	s := newSOCKS(t, a, proxy.SOCKS5Options{Limits: proxy.Limits{Total: 2, PerClient: 1}})
	running(t, s)
	first := socksDial(t, s, to, "")
	socksDial(t, s, to, "") // loopback counts in the total only
	c, err := net.Dial("tcp", s.Addr().String())
	if err == nil {
		defer c.Close()
	}
	wantReset(t, c, err)
	if st := s.Stats(); st.Refused != 1 || st.Active != 2 || st.Accepted != 2 {
		t.Errorf("got %+v", st)
	}
	first.CloseWrite()
	if _, err := io.ReadAll(first); err != nil {
		t.Error(err)
	}
	testutil.Eventually(t, 30*time.Second, "the place is given back", func() error {
		if n := s.Stats().Active; n == 2 {
			return fmt.Errorf("%d active", n)
		}
		return nil
	})
	socksDial(t, s, to, "")
}

func TestSOCKSMany(t *testing.T) {
	a, b := pairOf(t)
	to := target(t, b, echo)
	s := newSOCKS(t, a, proxy.SOCKS5Options{})
	running(t, s)
	const clients, size = 200, 20000
	var wg sync.WaitGroup
	for i := range clients {
		c := socksDial(t, s, to, "")
		wg.Go(func() {
			var sender sync.WaitGroup
			defer sender.Wait()
			sender.Go(func() { sendStream(c, uint64(i), size) })
			if err := checkStream(c, size); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	s.Close()
	if st := s.Stats(); st.Accepted != clients || st.BytesIn != clients*(size+32) || st.BytesOut != st.BytesIn {
		t.Errorf("got %+v", st)
	}
}

// TestSOCKSCloseBusy closes a service whose clients are at every stage.
func TestSOCKSCloseBusy(t *testing.T) {
	for _, how := range []string{"close", "context"} {
		t.Run(how, func(t *testing.T) {
			a, b := pairOf(t)
			to := target(t, b, func(c net.Conn) {
				go io.Copy(io.Discard, c)
				for _, err := c.Write(make([]byte, 1000)); err == nil; _, err = c.Write(make([]byte, 1000)) {
				}
			})
			s := newSOCKS(t, a, proxy.SOCKS5Options{})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- s.Run(ctx) }()

			stages := []string{"", "\x05", "\x05\x01\x00\x05\x01", "\x05\x01\x00\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x07", "\x04"}
			var clients sync.WaitGroup
			for _, stage := range stages {
				c := dialPort(t, s.Addr())
				io.WriteString(c, stage)
			}
			for range 8 {
				reader, writer := socksDial(t, s, to, ""), socksDial(t, s, to, "")
				clients.Go(func() {
					if _, err := io.Copy(io.Discard, reader); err == nil {
						t.Error("a flow that was cut off looks complete")
					}
				})
				clients.Go(func() { io.Copy(writer, zeroReader{}) })
			}
			if how == "close" {
				s.Close()
			} else {
				cancel()
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			clients.Wait()
			if n := s.Stats().Active; n != 0 {
				t.Errorf("%d are active", n)
			}
			if err := s.Run(t.Context()); err == nil {
				t.Error("a second Run is fine")
			}
		})
	}
}

// zeroReader has no end.
type zeroReader struct{}

func (zeroReader) Read(b []byte) (int, error) { return len(b), nil }

func TestSOCKSListenErrors(t *testing.T) {
	a, _ := pairOf(t)
	s := newSOCKS(t, a, proxy.SOCKS5Options{})
	var op *net.OpError
	if _, err := proxy.ListenSOCKS5(a, &proxy.SOCKS5Options{Listen: s.Addr().String()}); !errors.As(err, &op) || !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("taken: got %v", err)
	}
	if _, err := proxy.ListenSOCKS5(a, &proxy.SOCKS5Options{Listen: "127.0.0.1:0", Password: strings.Repeat("p", 256)}); err == nil {
		t.Error("a password that no client can send is fine")
	}
	s.Close()
	if err := s.Run(t.Context()); err != nil { // closed before it ran
		t.Error(err)
	}
}
