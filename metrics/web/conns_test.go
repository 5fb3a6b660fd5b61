// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package web

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/internal/testutil"
)

// dial opens a connection that the test closes.
func dial(t *testing.T, s *Server) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func (l *conns) count() (open, waiting int, refused uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open, l.waiting.Len(), l.refused
}

func TestIdleConnectionsKeepNobodyOut(t *testing.T) {
	testutil.LeakCheck(t)
	s, c := serveTest(t, everything())
	const idle, inTurn = 10_000, 200 // never more open here than the limit of descriptors
	for n := 0; n < idle; n += inTurn {
		var batch []net.Conn
		for i := range inTurn {
			nc, err := net.Dial("tcp", s.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			batch = append(batch, nc)
			if i%2 == 0 { // a slow one
				io.WriteString(nc, "GET /metrics HTTP/1.1\r\nHost: loc")
			}
		}
		if resp, _ := get(t, c, metricsPath); resp.StatusCode != 200 {
			t.Fatalf("with %d connections: %s", n+inTurn, resp.Status)
		}
		c.CloseIdleConnections()
		if open, _, _ := s.conns.count(); open > maxConns {
			t.Fatalf("%d connections are open", open)
		}
		for _, nc := range batch {
			nc.Close()
		}
	}
	if _, _, refused := s.conns.count(); refused < idle-idle/inTurn*maxConns*2 {
		t.Errorf("%d connections were closed", refused)
	}
	testutil.Eventually(t, 20*time.Second, "connections are forgotten", func() error {
		if open, waiting, _ := s.conns.count(); open != 0 || waiting != 0 {
			return fmt.Errorf("%d open, %d waiting", open, waiting)
		}
		return nil
	})
}

func TestSlowClientsAreEnded(t *testing.T) {
	testutil.LeakCheck(t)
	o := everything()
	o.timing = timing{header: 50 * time.Millisecond, write: 50 * time.Millisecond, idle: 50 * time.Millisecond}
	o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 64 { // more than the socket buffers hold
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	})
	s, _ := serveTest(t, o)
	for name, begin := range map[string]string{
		"silent":           "",
		"slow header":      "GET / HTTP/1.1\r\nHost: l",
		"slow reader":      "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"idle after a GET": "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
	} {
		c := dial(t, s)
		if _, err := io.WriteString(c, begin); err != nil {
			t.Fatal(err)
		}
		testutil.Eventually(t, 20*time.Second, name+" is ended", func() error {
			if open, _, _ := s.conns.count(); open != 0 {
				return errors.New("still open")
			}
			return nil
		})
	}
}

func TestRequestsAtOnceAreBounded(t *testing.T) {
	testutil.LeakCheck(t)
	in, hold := make(chan struct{}, maxRequests), make(chan struct{})
	o := everything()
	o.Metrics = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { in <- struct{}{}; <-hold })
	_, c := serveTest(t, o)
	var wg sync.WaitGroup
	codes := make(chan int, maxRequests)
	for range maxRequests {
		wg.Go(func() {
			resp, err := c.Get("http://127.0.0.1" + metricsPath)
			if err != nil {
				codes <- -1
				return
			}
			resp.Body.Close()
			codes <- resp.StatusCode
		})
	}
	for range maxRequests {
		<-in
	}
	if resp, _ := get(t, c, metricsPath); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("one more: %s", resp.Status)
	}
	if resp, _ := get(t, c, healthPath); resp.StatusCode != 200 {
		t.Errorf("health: %s", resp.Status)
	}
	close(hold)
	wg.Wait()
	for range maxRequests {
		if code := <-codes; code != 200 {
			t.Errorf("one of those at once: %d", code)
		}
	}
	if resp, _ := get(t, c, metricsPath); resp.StatusCode != 200 {
		t.Errorf("afterwards: %s", resp.Status)
	}
}

func TestNewConnectionIsRefusedWhenAllAreBusy(t *testing.T) {
	testutil.LeakCheck(t)
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	l := newConns(nil, 1)
	first, out := l.admit(a)
	if first == nil || out != nil {
		t.Fatal("first refused")
	}
	first.begin()
	if second, out := l.admit(b); second != nil || out != b {
		t.Errorf("second: %v, %v", second, out)
	}
	first.end()
	second, out := l.admit(b)
	if second == nil || out != a {
		t.Errorf("second in the place of the first: %v, %v", second, out)
	}
	first.begin() // in the midst of its end
	first.end()
	first.Close()
	if open, waiting, refused := l.count(); open != 1 || waiting != 1 || refused != 2 {
		t.Errorf("%d open, %d waiting, %d refused", open, waiting, refused)
	}
	second.Close()
	second.Close()
	if open, waiting, _ := l.count(); open != 0 || waiting != 0 {
		t.Errorf("%d open, %d waiting", open, waiting)
	}
}

// failing fails some times before it is closed.
type failing struct {
	net.Listener
	errs []error
}

func (f *failing) Accept() (net.Conn, error) {
	err := f.errs[0]
	f.errs = f.errs[1:]
	return nil, err
}

func TestAcceptOutlivesErrors(t *testing.T) {
	l := newConns(&failing{errs: []error{syscall.EMFILE, syscall.ECONNABORTED, net.ErrClosed}}, 1)
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
}
