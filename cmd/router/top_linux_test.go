// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/uapi"
)

// A pty is a terminal whose other side is the test.
type pty struct {
	outside, inside *os.File
	mu              sync.Mutex
	seen            []byte
	done            chan struct{}
}

func newPTY(t *testing.T, columns, rows uint16) *pty {
	t.Helper()
	outside, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		testutil.Missing(t, "/dev/ptmx: "+err.Error())
	}
	number := 0
	err = withFD(outside, func(fd int) error {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	inside, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &pty{outside: outside, inside: inside, done: make(chan struct{})}
	p.resize(t, columns, rows)
	go func() {
		defer close(p.done)
		buf := make([]byte, 4096)
		for {
			n, err := outside.Read(buf)
			p.mu.Lock()
			p.seen = append(p.seen, buf[:n]...)
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		inside.Close()
		outside.Close()
		<-p.done
	})
	return p
}

func (p *pty) resize(t *testing.T, columns, rows uint16) {
	t.Helper()
	size := &unix.Winsize{Col: columns, Row: rows}
	if err := withFD(p.outside, func(fd int) error { return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, size) }); err != nil {
		t.Fatal(err)
	}
}

func (p *pty) press(t *testing.T, keys string) {
	t.Helper()
	if _, err := p.outside.WriteString(keys); err != nil {
		t.Fatal(err)
	}
}

// all is everything that was written, and screen what was drawn last.
func (p *pty) all() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.seen)
}

func (p *pty) screen() string {
	all := p.all()
	return all[strings.LastIndex(all, homeCursor)+1:]
}

func (p *pty) await(t *testing.T, what string, is func(screen string) bool) {
	t.Helper()
	testutil.Eventually(t, 20*time.Second, what, func() error {
		if s := p.screen(); !is(s) {
			return fmt.Errorf("screen: %q", s)
		}
		return nil
	})
}

// TestTopTerminal: what is drawn follows the router, the keys and the size, survives that
// the router is gone for a while, and the terminal is as it was in the end.
func TestTopTerminal(t *testing.T) {
	testutil.LeakCheck(t)
	before, after := topDevices(t)
	var mu sync.Mutex
	now, fail := before, false
	dir := serveAsked(t, changing{func() (*uapi.Device, error) {
		mu.Lock()
		defer mu.Unlock()
		if fail {
			return nil, fmt.Errorf("not now")
		}
		return now, nil
	}})
	set := func(f func()) {
		mu.Lock()
		defer mu.Unlock()
		f()
	}
	for _, tt := range []struct {
		name string
		env  map[string]string
		quit string
	}{
		{"colour", nil, "q"},
		{"without", map[string]string{"NO_COLOR": "1"}, "\x03"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set(func() { now = before })
			p := newPTY(t, 130, 20)
			mode, err := termiosOf(p.inside)
			if err != nil {
				t.Fatal(err)
			}
			var stderr bytes.Buffer
			code := make(chan int, 1)
			go func() {
				code <- run(&app{
					args: []string{"router", "top", "--socket-dir", dir, "-i", "200ms"}, in: p.inside, out: p.inside, err: &stderr,
					lookup: func(name string) (string, bool) { v, ok := tt.env[name]; return v, ok },
				})
			}()
			p.await(t, "rates of a router that does nothing", func(s string) bool { return strings.Contains(s, "received 0 bit/s") })
			set(func() { now = after })
			p.await(t, "a rate", func(s string) bool { return strings.Contains(s, "Mbit/s") && strings.Contains(s, "4.77 MiB") })
			p.press(t, "l")
			p.await(t, "another order", func(s string) bool { return strings.Contains(s, "LATENCY*") })
			p.press(t, "l")
			p.await(t, "the other way round", func(s string) bool { return strings.Contains(s, "LATENCY'") })
			p.resize(t, 60, 11)
			p.await(t, "a smaller screen", func(s string) bool {
				return !strings.Contains(s, "ADDRESS") && strings.Contains(s, " 1-2 of 4 ") && strings.Count(s, "\n") == 10
			})
			p.press(t, "\x1b[6~")
			p.await(t, "further down", func(s string) bool { return strings.Contains(s, " 3-4 of 4 ") })
			p.press(t, "gGk")
			p.await(t, "up again", func(s string) bool { return strings.Contains(s, " 2-3 of 4 ") })
			set(func() { fail = true })
			p.await(t, "a problem", func(s string) bool { return strings.Contains(s, "no answer, trying again") })
			set(func() { fail = false })
			p.await(t, "an answer", func(s string) bool { return !strings.Contains(s, "no answer") })
			p.press(t, tt.quit)
			if got := <-code; got != 0 || stderr.Len() > 0 {
				t.Errorf("exit code %d, stderr %q", got, stderr.String())
			}
			p.await(t, "the old screen", func(s string) bool { return strings.HasSuffix(s, leaveScreen) })
			all := p.all()
			if !strings.HasPrefix(all, enterScreen) {
				t.Errorf("begins with %.20q", all)
			}
			if colors := strings.Contains(all, "\x1b[0m"); colors != (tt.env == nil) {
				t.Errorf("colours: %v", colors)
			}
			restored, err := termiosOf(p.inside)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(mode, restored); diff != "" {
				t.Errorf("mode of the terminal (-before +after):\n%s", diff)
			}
		})
	}
}

// TestTopNotThere: an error leaves the terminal alone.
func TestTopNotThere(t *testing.T) {
	p := newPTY(t, 80, 24)
	var stderr bytes.Buffer
	code := run(&app{args: []string{"router", "top", "--socket-dir", t.TempDir(), "wg0"}, in: p.inside, out: p.inside, err: &stderr})
	if code != exitRuntime || !strings.Contains(stderr.String(), "no router answers") || p.all() != "" {
		t.Errorf("exit code %d, stderr %q, terminal %q", code, stderr.String(), p.all())
	}
}

// A changing is a uapi.Handler whose device changes.
type changing struct {
	get func() (*uapi.Device, error)
}

func (c changing) Get() (*uapi.Device, error) { return c.get() }
func (changing) Set(*uapi.SetRequest) error   { return nil }
func (changing) Reload() error                { return nil }
