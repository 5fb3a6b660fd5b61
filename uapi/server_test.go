// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package uapi_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/uapi"
)

// tempDir is a short one: the path of a socket has at most 107 bytes.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "uapi")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// serve starts a server with the handler; the result of Serve is in the channel.
func serve(t *testing.T, s *uapi.Server, h uapi.Handler) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- s.Serve(context.Background(), h) }()
	t.Cleanup(func() { s.Close() })
	return done
}

func listen(t *testing.T, path string) *uapi.Server {
	t.Helper()
	s, err := uapi.Listen(path, &uapi.Options{Logger: testutil.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func dial(t *testing.T, path string) *uapi.Client {
	t.Helper()
	c, err := uapi.Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// talk writes text on a raw connection, says that nothing follows, and returns
// all that comes back.
func talk(t *testing.T, path, text string) string {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.UnixConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestClientServer(t *testing.T) {
	testutil.LeakCheck(t)
	path := filepath.Join(tempDir(t), "wireguard", "wg0.sock")
	s := listen(t, path)
	h := new(memory)
	done := serve(t, s, h)
	c := dial(t, path)

	want := fullDevice()
	want.Extra, want.Peers[0].Extra = nil, nil
	want.Peers[0].TxBytes, want.Peers[0].RxBytes, want.Peers[0].LastHandshake = 0, 0, time.Time{}
	req := &uapi.SetRequest{PrivateKey: &want.PrivateKey, ListenPort: &want.ListenPort, FwMark: &want.FwMark}
	for _, p := range want.Peers {
		pr := uapi.PeerRequest{PublicKey: p.PublicKey, PresharedKey: ptr(p.PresharedKey), Endpoint: ptr(p.Endpoint), PersistentKeepalive: ptr(p.PersistentKeepalive)}
		for _, ip := range p.AllowedIPs {
			pr.AllowedIPs = append(pr.AllowedIPs, uapi.AllowedIPChange{Prefix: ip})
		}
		req.Peers = append(req.Peers, pr)
	}
	if err := c.Set(req); err != nil {
		t.Fatal(err)
	}
	got, err := c.Get()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpNet); diff != "" {
		t.Errorf("device (-want +got):\n%s", diff)
	}

	h.mu.Lock()
	h.setErr = &uapi.Error{Errno: uapi.ErrnoPortInUse, Err: errors.New("bind: in use")}
	h.reload = func() error { return errors.New("wg0.conf:3: bad\nwg0.conf:4: worse") }
	h.mu.Unlock()
	var coded *uapi.Error
	if err := c.Set(req); !errors.As(err, &coded) || coded.Errno != uapi.ErrnoPortInUse {
		t.Errorf("set: got %v, want EADDRINUSE", err)
	}
	if err := c.Reload(); err == nil || err.Error() != "reload: wg0.conf:3: bad\nwg0.conf:4: worse" {
		t.Errorf("reload: got %v, want both lines", err)
	}
	h.mu.Lock()
	h.reload = func() error { return nil }
	h.mu.Unlock()
	if err := c.Reload(); err != nil {
		t.Errorf("reload: %v", err)
	}

	// A connection that is open when the server closes, in the middle of a request.
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("serve returned %v, want net.ErrClosed", err)
	}
	if _, err := c.Get(); err == nil {
		t.Error("get after close: no error")
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("socket file after close: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if err := s.Serve(t.Context(), h); !errors.Is(err, net.ErrClosed) {
		t.Errorf("serve after close: %v", err)
	}
}

func TestReplies(t *testing.T) {
	path := filepath.Join(tempDir(t), "wg0.sock")
	h := &memory{dev: uapi.Device{ListenPort: 1}}
	serve(t, listen(t, path), h)
	const get = "listen_port=1\nerrno=0\n\n"
	errno := func(n int64) string { return fmt.Sprintf("errno=%d\n\n", n) }
	tests := []struct{ name, in, want string }{
		{"nothing", "", ""},
		{"get", "get=1\n\n", get},
		{"three requests", "get=1\n\nset=1\n\nget=1\n\n", get + errno(0) + get},
		{"get with more", "get=1\nx=y\nz=1\n\nget=1\n\n", errno(uapi.ErrnoInvalid) + get},
		{"reload with more", "reload=1\nx=y\n\nget=1\n\n", errno(uapi.ErrnoInvalid) + get},
		{"reload refused", "reload=1\n\nget=1\n\n", "message=nothing to reload\n" + errno(uapi.ErrnoUnknown) + get},
		{"unknown key, then get", "set=1\nlisten_port=7\nfoo=1\nbar=2\n\nget=1\n\n", errno(uapi.ErrnoInvalid) + get},
		{"bad value", "set=1\nfwmark=x\n\n", errno(uapi.ErrnoInvalid)},
		{"no equals sign", "set=1\nfwmark\n\n", errno(uapi.ErrnoProtocol)},
		{"cut off", "set=1\nlisten_port=7\n", errno(uapi.ErrnoProtocol)},
		{"cut off after a mistake", "set=1\nx=7\n", errno(uapi.ErrnoInvalid)},
		{"cut off get", "get=1\n", errno(uapi.ErrnoProtocol)},
		{"unknown operation", "put=1\n\nget=1\n\n", errno(uapi.ErrnoProtocol)},
		{"blank line", "\nget=1\n\n", errno(uapi.ErrnoProtocol)},
		{"long operation", strings.Repeat("x", 2*uapi.MaxLine) + "\n", errno(uapi.ErrnoIO)},
		{"get still says the same", "get=1\n\n", get},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := talk(t, path, tt.in); got != tt.want {
				t.Errorf("sent %.60q, got %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

func TestErrnoOf(t *testing.T) {
	_, busy := net.Listen("tcp", "256.0.0.1:0")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, inUse := net.Listen("tcp", l.Addr().String())
	tests := []struct {
		err  error
		want int64
	}{
		{nil, 0},
		{errors.New("x"), uapi.ErrnoUnknown},
		{busy, uapi.ErrnoUnknown},
		{fmt.Errorf("wrap: %w", inUse), uapi.ErrnoPortInUse},
		{fmt.Errorf("wrap: %w", &uapi.Error{Errno: uapi.ErrnoInvalid}), uapi.ErrnoInvalid},
		{fmt.Errorf("wrap: %w", ipcError(-5)), -5},
	}
	for _, tt := range tests {
		if got := uapi.ErrnoOf(tt.err); got != tt.want {
			t.Errorf("errno of %v is %d, want %d", tt.err, got, tt.want)
		}
	}
}

// ipcError has the method of device.IPCError, whose fields are not exported.
type ipcError int64

func (e ipcError) Error() string    { return "ipc" }
func (e ipcError) ErrorCode() int64 { return int64(e) }

// TestIdleAndSlow: clients that say nothing, half a request, or do not read the
// reply, do not keep another from being served; Close ends them all.
func TestIdleAndSlow(t *testing.T) {
	testutil.LeakCheck(t)
	path := filepath.Join(tempDir(t), "wg0.sock")
	s := listen(t, path)
	h := &memory{}
	for i := range 1000 { // a reply that does not fit in the socket's buffer
		p := uapi.Peer{PublicKey: key(byte(i))}
		h.dev.Peers = append(h.dev.Peers, p)
	}
	done := serve(t, s, h)
	for _, text := range []string{"", "set=1\nlisten_port=", "get", strings.Repeat("get=1\n\n", 8)} {
		for range 4 {
			c, err := net.Dial("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.WriteString(c, text); err != nil {
				t.Fatal(err)
			}
		}
	}
	c := dial(t, path)
	for range 10 {
		if d, err := c.Get(); err != nil || len(d.Peers) != 1000 {
			t.Fatalf("get: %v, %v", d, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("serve: %v", err)
	}
}

// blocking is a handler whose calls wait until they are let go.
type blocking struct {
	memory
	entered, leave chan struct{}
}

func (b *blocking) Reload() error {
	b.entered <- struct{}{}
	<-b.leave
	return nil
}

// TestHandlersRunSideBySide: a long reload does not hold up a get; Close waits
// for the reload.
func TestHandlersRunSideBySide(t *testing.T) {
	testutil.LeakCheck(t)
	path := filepath.Join(tempDir(t), "wg0.sock")
	s := listen(t, path)
	h := &blocking{entered: make(chan struct{}), leave: make(chan struct{})}
	done := serve(t, s, h)
	reloader := dial(t, path)
	var wg sync.WaitGroup
	wg.Go(func() { reloader.Reload() })
	<-h.entered
	if _, err := dial(t, path).Get(); err != nil {
		t.Errorf("get during reload: %v", err)
	}
	closed := make(chan struct{})
	go func() {
		s.Close()
		close(closed)
	}()
	wg.Wait() // the connection ends at once
	select {
	case <-closed:
		t.Error("close returned while a handler call was under way")
	default:
	}
	close(h.leave)
	<-closed
	<-done
}

func TestTooManyConnections(t *testing.T) {
	testutil.LeakCheck(t)
	path := filepath.Join(tempDir(t), "wg0.sock")
	s, err := uapi.Listen(path, &uapi.Options{MaxConns: 2, Logger: testutil.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	h := &blocking{entered: make(chan struct{}), leave: make(chan struct{})}
	done := serve(t, s, h)

	// A session is idle a moment after its client has the reply.
	get := func(c *uapi.Client) {
		t.Helper()
		if _, err := c.Get(); err != nil {
			t.Fatal(err)
		}
		testutil.Eventually(t, time.Minute, "sessions are idle", func() error {
			if busy, _ := s.Busy(); busy > 0 {
				return fmt.Errorf("%d busy", busy)
			}
			return nil
		})
	}
	oldest, other := dial(t, path), dial(t, path)
	for _, c := range []*uapi.Client{other, oldest, other} { // oldest is idle for longer
		get(c)
	}
	third := dial(t, path)
	get(third)
	if _, err := oldest.Get(); err == nil {
		t.Error("the connection that was idle for longest is still open")
	}
	get(other)

	// With both inside a request there is no room.
	var wg sync.WaitGroup
	for _, c := range []*uapi.Client{other, third} {
		wg.Go(func() {
			if err := c.Reload(); err != nil {
				t.Errorf("reload: %v", err)
				close(h.entered)
			}
		})
		<-h.entered
	}
	if _, err := dial(t, path).Get(); err == nil {
		t.Error("a connection beyond the limit was served")
	}
	close(h.leave)
	wg.Wait()
	s.Close()
	<-done
}

func TestRequestLimit(t *testing.T) {
	path := filepath.Join(tempDir(t), "wg0.sock")
	s, err := uapi.Listen(path, &uapi.Options{MaxRequest: 200})
	if err != nil {
		t.Fatal(err)
	}
	h := new(memory)
	serve(t, s, h)
	fits := (&uapi.SetRequest{Peers: []uapi.PeerRequest{{PublicKey: key(1)}, {PublicKey: key(2)}}}).AppendTo([]byte("set=1\n"))
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for _, tt := range []struct{ in, want string }{
		{string(fits), "errno=0\n"}, {string(fits), "errno=0\n"}, // the limit is per request
		{"set=1\n" + strings.Repeat("public_key="+hex32(3)+"\n", 3), fmt.Sprintf("errno=%d\n", uapi.ErrnoInvalid)},
	} {
		if _, err := io.WriteString(c, tt.in); err != nil {
			t.Fatal(err)
		}
		got, err := r.ReadString('\n')
		if err != nil || got != tt.want {
			t.Fatalf("got %q, %v, want %q", got, err, tt.want)
		}
		if _, err := r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(h.dev.Peers); n != 2 {
		t.Errorf("%d peers, want the 2 that fit", n)
	}
}

func TestServeEnds(t *testing.T) {
	t.Run("context", func(t *testing.T) {
		testutil.LeakCheck(t)
		path := filepath.Join(tempDir(t), "wg0.sock")
		s := listen(t, path)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Serve(ctx, new(memory)) }()
		if _, err := dial(t, path).Get(); err != nil {
			t.Fatal(err)
		}
		if err := s.Serve(ctx, new(memory)); err == nil {
			t.Error("second serve: no error")
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v, want nil", err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("socket file: %v", err)
		}
	})
	gone := func(t *testing.T, change func(path string) error) {
		testutil.LeakCheck(t)
		path := filepath.Join(tempDir(t), "d", "wg0.sock")
		s := listen(t, path)
		done := serve(t, s, new(memory))
		if _, err := dial(t, path).Get(); err != nil {
			t.Fatal(err)
		}
		if err := change(path); err != nil {
			t.Fatal(err)
		}
		if err := <-done; !errors.Is(err, uapi.ErrSocketGone) {
			t.Errorf("serve: %v, want ErrSocketGone", err)
		}
	}
	t.Run("removed", func(t *testing.T) { gone(t, os.Remove) })
	t.Run("directory removed", func(t *testing.T) { gone(t, func(p string) error { return os.RemoveAll(filepath.Dir(p)) }) })
	t.Run("moved", func(t *testing.T) { gone(t, func(p string) error { return os.Rename(p, p+"x") }) })
	t.Run("directory moved", func(t *testing.T) {
		gone(t, func(p string) error { return os.Rename(filepath.Dir(p), filepath.Dir(p)+"x") })
	})
	t.Run("replaced", func(t *testing.T) {
		gone(t, func(p string) error {
			if err := os.WriteFile(p+"x", []byte("mine"), 0o600); err != nil {
				return err
			}
			return os.Rename(p+"x", p)
		})
	})
	t.Run("removed before", func(t *testing.T) {
		path := filepath.Join(tempDir(t), "wg0.sock")
		s := listen(t, path)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := s.Serve(t.Context(), new(memory)); !errors.Is(err, uapi.ErrSocketGone) {
			t.Errorf("serve: %v, want ErrSocketGone", err)
		}
	})
}

func BenchmarkGet(b *testing.B) {
	h := new(memory)
	for i := range 1000 {
		p := fullDevice().Peers[0]
		p.PublicKey[1], p.PublicKey[2] = byte(i), byte(i>>8)
		h.dev.Peers = append(h.dev.Peers, p)
	}
	dir, err := os.MkdirTemp("", "uapi")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	s, err := uapi.Listen(filepath.Join(dir, "s"), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	go s.Serve(context.Background(), h)
	c, err := uapi.Dial(filepath.Join(dir, "s"))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	b.ReportAllocs()
	for b.Loop() { // what a metrics scraper does on a hub of 1000 peers
		if _, err := c.Get(); err != nil {
			b.Fatal(err)
		}
	}
}
