// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package uapi_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/uapi"
)

func TestListenModes(t *testing.T) {
	testutil.LeakCheck(t)
	dir := filepath.Join(tempDir(t), "a", "wireguard")
	path := filepath.Join(dir, "wg0.sock")
	s := listen(t, path)
	defer s.Close()
	for file, want := range map[string]os.FileMode{dir: os.ModeDir | 0o755, path: os.ModeSocket | 0o600} {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s is %v, want %v", file, info.Mode(), want)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("directory has %v, want the socket alone", entries)
	}
	if s.Path() != path {
		t.Errorf("path is %q, want %q", s.Path(), path)
	}
}

// makeStale leaves a socket file that nobody listens on.
func makeStale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

func TestListenPath(t *testing.T) {
	dir := tempDir(t)
	t.Run("stale", func(t *testing.T) {
		path := filepath.Join(dir, "stale.sock")
		makeStale(t, path)
		serve(t, listen(t, path), new(memory))
		if _, err := dial(t, path).Get(); err != nil {
			t.Errorf("get: %v", err)
		}
	})
	t.Run("in use", func(t *testing.T) {
		path := filepath.Join(dir, "used.sock")
		serve(t, listen(t, path), new(memory))
		if s, err := uapi.Listen(path, nil); !errors.Is(err, uapi.ErrInUse) {
			t.Errorf("second listen: %v, %v, want ErrInUse", s, err)
		}
		if _, err := dial(t, path).Get(); err != nil {
			t.Errorf("get from the first: %v", err)
		}
	})
	t.Run("file", func(t *testing.T) {
		path := filepath.Join(dir, "file.sock")
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := uapi.Listen(path, nil); err == nil || !strings.Contains(err.Error(), "not a socket") {
			t.Errorf("listen: %v, %v", s, err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != "x" {
			t.Errorf("the file is now %q, %v", b, err)
		}
	})
	t.Run("long", func(t *testing.T) {
		if s, err := uapi.Listen(filepath.Join(dir, strings.Repeat("x", 120)), nil); err == nil || !strings.Contains(err.Error(), "too long") {
			t.Errorf("listen: %v, %v", s, err)
		}
	})
	t.Run("nothing is left behind", func(t *testing.T) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) != 1 || entries[0].Name() != "file.sock" {
			t.Errorf("directory has %v", entries)
		}
	})
}

// TestListenRace: of many that start at once, one gets the path.
func TestListenRace(t *testing.T) {
	path := filepath.Join(tempDir(t), "wg0.sock")
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		won  []*uapi.Server
		lost []error
	)
	for range 8 {
		wg.Go(func() {
			s, err := uapi.Listen(path, nil)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				lost = append(lost, err)
			} else {
				won = append(won, s)
			}
		})
	}
	wg.Wait()
	for _, s := range won {
		defer s.Close()
	}
	if len(won) != 1 {
		t.Errorf("%d servers have the path, want 1", len(won))
	}
	for _, err := range lost {
		if !errors.Is(err, uapi.ErrInUse) {
			t.Errorf("loser: %v, want ErrInUse", err)
		}
	}
}

func TestCloseKeepsForeignFile(t *testing.T) {
	path := filepath.Join(tempDir(t), "wg0.sock")
	s := listen(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second := listen(t, path)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the second server's socket: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the second server's socket after its close: %v", err)
	}
}

// TestHandOver passes the socket on as a daemon's parent does.
func TestHandOver(t *testing.T) {
	testutil.LeakCheck(t)
	path := filepath.Join(tempDir(t), "wg0.sock")
	parent := listen(t, path)
	f, err := parent.File()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Detach(); err != nil {
		t.Fatal(err)
	}
	c := dial(t, path) // nobody serves yet: waits in the backlog
	child, err := uapi.FromFile(f, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	done := serve(t, child, new(memory))
	if _, err := c.Get(); err != nil {
		t.Errorf("get: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, uapi.ErrSocketGone) {
		t.Errorf("serve: %v, want ErrSocketGone", err)
	}
}

func TestFromFileErrors(t *testing.T) {
	testutil.LeakCheck(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	if s, err := uapi.FromFile(f, "", nil); err == nil || !strings.Contains(err.Error(), "tcp") {
		t.Errorf("tcp socket: %v, %v", s, err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	if s, err := uapi.FromFile(r, "", nil); err == nil {
		t.Errorf("pipe: %v, no error", s)
	}
	// A socket that does not listen is noticed when it should accept.
	a, err := net.Dial("unix", dialed(t))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if f, err = a.(*net.UnixConn).File(); err != nil {
		t.Fatal(err)
	}
	s, err := uapi.FromFile(f, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context(), new(memory)); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("serve on a socket that does not listen: %v, want EINVAL", err)
	}
	parent := listen(t, filepath.Join(tempDir(t), "s"))
	if f, err = parent.File(); err != nil {
		t.Fatal(err)
	}
	if s, err := uapi.FromFile(f, filepath.Join(tempDir(t), "missing"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("path that is not there: %v, %v", s, err)
	}
	parent.Close()
}

// dialed is the path of a socket that accepts connections.
func dialed(t *testing.T) string {
	t.Helper()
	path := filepath.Join(tempDir(t), "s")
	listen(t, path)
	return path
}

func TestSockets(t *testing.T) {
	testutil.LeakCheck(t)
	dir := tempDir(t)
	for _, name := range []string{"wg1", "wg0"} {
		defer listen(t, filepath.Join(dir, name+".sock")).Close()
	}
	makeStale(t, filepath.Join(dir, "stale.sock"))
	if err := os.WriteFile(filepath.Join(dir, "file.sock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	names, err := uapi.Sockets(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"wg0", "wg1"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
	if names, err := uapi.Sockets(filepath.Join(dir, "missing")); names != nil || err != nil {
		t.Errorf("missing directory: %v, %v", names, err)
	}
	if uapi.SocketPath("wg0") != "/var/run/wireguard/wg0.sock" {
		t.Errorf("path %s", uapi.SocketPath("wg0"))
	}
}

// TestClientForeign: what a client makes of programs that are not this one.
func TestClientForeign(t *testing.T) {
	path := filepath.Join(tempDir(t), "wg0.sock")
	tests := []struct {
		name, reply string
		call        func(*uapi.Client) error
		want        string
	}{
		{"reload unknown", "", (*uapi.Client).Reload, "does not know it"},
		{"get cut off", "listen_port=1\n", func(c *uapi.Client) error { _, err := c.Get(); return err }, "before its errno"},
		{"get without errno", "listen_port=1\n\n", func(c *uapi.Client) error { _, err := c.Get(); return err }, "before its errno"},
		{"set cut off", "", func(c *uapi.Client) error { return c.Set(&uapi.SetRequest{}) }, "before its errno"},
		{"set refused", "errno=-22\n\n", func(c *uapi.Client) error { return c.Set(&uapi.SetRequest{}) }, "refused as invalid"},
		{"set nonsense", "errno=x\n\n", func(c *uapi.Client) error { return c.Set(&uapi.SetRequest{}) }, "decimal"},
		{"set good", "errno=0\n\n", func(c *uapi.Client) error { return c.Set(&uapi.SetRequest{}) }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				b := make([]byte, 4096)
				if _, err := c.Read(b); err == nil {
					c.Write([]byte(tt.reply))
				}
			}()
			err = tt.call(dial(t, path))
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
