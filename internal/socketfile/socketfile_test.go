// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package socketfile_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tunrouter/tunrouter/internal/socketfile"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// tempDir has a shorter path than t.TempDir, for the 107 bytes of sockaddr_un.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "socketfile")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func listen(t *testing.T, path string, mode fs.FileMode) (*net.UnixListener, *socketfile.File) {
	t.Helper()
	l, f, err := socketfile.Listen(path, mode)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, f
}

// answers reports whether somebody listens at path.
func answers(path string) bool {
	c, err := net.Dial("unix", path)
	if err == nil {
		c.Close()
	}
	return err == nil
}

func TestListen(t *testing.T) {
	testutil.LeakCheck(t)
	for _, mode := range []fs.FileMode{0o600, 0o660} {
		dir := filepath.Join(tempDir(t), "a", "b")
		path := filepath.Join(dir, "s")
		l, f := listen(t, path, mode)
		for file, want := range map[string]fs.FileMode{dir: fs.ModeDir | 0o755, path: fs.ModeSocket | mode} {
			if info, err := os.Lstat(file); err != nil || info.Mode() != want {
				t.Errorf("%s: %v, %v, want mode %v", file, info, err, want)
			}
		}
		if f.Path() != path || !f.Ours() || !answers(path) {
			t.Errorf("path %q, ours %v, answers %v", f.Path(), f.Ours(), answers(path))
		}
		if err := errors.Join(f.Remove(), l.Close(), f.Remove()); err != nil {
			t.Error(err)
		}
		if rest, err := os.ReadDir(dir); err != nil || len(rest) > 0 {
			t.Errorf("left behind: %v, %v", rest, err)
		}
	}
}

// TestListenTaken tells a socket that nobody listens on from what is somebody's.
func TestListenTaken(t *testing.T) {
	testutil.LeakCheck(t)
	dir := tempDir(t)
	used, stale, plain, link := filepath.Join(dir, "used"), filepath.Join(dir, "stale"), filepath.Join(dir, "plain"), filepath.Join(dir, "link")
	listen(t, used, 0o600)
	l, _ := listen(t, stale, 0o600)
	l.Close()
	if err := errors.Join(os.WriteFile(plain, []byte("x"), 0o600), os.Symlink(stale, link)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path string
		is   error
		says string
	}{
		{used, socketfile.ErrInUse, ""},
		{plain, nil, "not a socket"},
		{link, nil, "not a socket"},
		{filepath.Join(plain, "s"), nil, "not a directory"},
		{filepath.Join(dir, strings.Repeat("x", 120)), nil, "too long"},
	} {
		l, _, err := socketfile.Listen(tt.path, 0o600)
		if err == nil {
			l.Close()
		}
		if err == nil || tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: got %v, want %v %q", tt.path, err, tt.is, tt.says)
		}
	}
	listen(t, stale, 0o600)
	if !answers(used) || !answers(stale) {
		t.Errorf("used answers %v, stale %v", answers(used), answers(stale))
	}
	if b, err := os.ReadFile(plain); err != nil || string(b) != "x" {
		t.Errorf("the file is now %q, %v", b, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 4 {
		t.Errorf("the directory has %v, %v", entries, err)
	}
}

// TestRemoveKeepsAnother leaves alone what somebody else put at the path.
func TestRemoveKeepsAnother(t *testing.T) {
	path := filepath.Join(tempDir(t), "s")
	_, f := listen(t, path, 0o600)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if f.Ours() {
		t.Error("ours after it was removed")
	}
	if err := f.Remove(); err != nil {
		t.Errorf("remove what is not there: %v", err)
	}
	_, second := listen(t, path, 0o600)
	if err := f.Remove(); err != nil || f.Ours() || !second.Ours() || !answers(path) {
		t.Errorf("got %v, ours %v, the second's %v", err, f.Ours(), second.Ours())
	}
	again, err := socketfile.At(path)
	if err != nil || !again.Ours() || again.Path() != path {
		t.Errorf("at %q: %v", path, err)
	}
	if err := again.Remove(); err != nil || second.Ours() {
		t.Errorf("got %v, ours %v", err, second.Ours())
	}
	if _, err := socketfile.At(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("at nothing: %v", err)
	}
}

// TestListenRace: of many that start at once, one gets the path.
func TestListenRace(t *testing.T) {
	path := filepath.Join(tempDir(t), "s")
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		won  []net.Listener
		lost []error
	)
	for range 8 {
		wg.Go(func() {
			l, _, err := socketfile.Listen(path, 0o600)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				lost = append(lost, err)
			} else {
				won = append(won, l)
			}
		})
	}
	wg.Wait()
	for _, l := range won {
		defer l.Close()
	}
	if len(won) != 1 {
		t.Errorf("%d listeners have the path, want 1", len(won))
	}
	for _, err := range lost {
		if !errors.Is(err, socketfile.ErrInUse) {
			t.Errorf("loser: %v, want ErrInUse", err)
		}
	}
}
