// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/uapi"
)

// A shell is a POSIX shell on a terminal, one that leaves the mode of the terminal alone.
type shell struct {
	*pty
	t   *testing.T
	cmd *exec.Cmd
	at  int // of all that was written, what has been looked at
}

const prompt = "prompt> "

func newShell(t *testing.T) *shell {
	testutil.NeedTool(t, "dash")
	s := &shell{pty: newPTY(t, 100, 20), t: t, cmd: exec.Command("dash", "-i")}
	s.cmd.Env = append(os.Environ(), "PS1="+prompt, "ENV=", "TERM=xterm")
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = s.inside, s.inside, s.inside
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p := s.child(); p > 0 {
			syscall.Kill(p, syscall.SIGKILL)
		}
		s.cmd.Process.Kill()
		s.cmd.Wait()
	})
	s.see(prompt)
	return s
}

// see waits until text is written, behind what was seen before, and returns what is
// before it.
func (s *shell) see(text string) string {
	s.t.Helper()
	begin := s.at
	testutil.Eventually(s.t, 30*time.Second, fmt.Sprintf("%q", text), func() error {
		i := strings.Index(s.all()[begin:], text)
		if i < 0 {
			all := s.all()[begin:]
			return fmt.Errorf("written last: %q", all[max(0, len(all)-500):])
		}
		s.at = begin + i + len(text)
		return nil
	})
	return s.all()[begin : s.at-len(text)]
}

// say types a command.
func (s *shell) say(command string) {
	s.t.Helper()
	s.press(s.t, command+"\n")
	s.see(command + "\r\n") // its echo
}

// child returns the process that the shell has started, 0 for none.
func (s *shell) child() int {
	pid := s.cmd.Process.Pid
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	n, _ := strconv.Atoi(first) // 0 for none
	return n
}

// usual fails the test unless the terminal is one to type commands on.
func (s *shell) usual(when string) {
	s.t.Helper()
	s.say("stty -a")
	words := strings.Fields(s.see(prompt))
	for _, want := range []string{"icanon", "echo", "isig", "icrnl"} {
		if !slices.Contains(words, want) {
			s.t.Errorf("%s the terminal has no %s: %s", when, want, words)
		}
	}
}

// TestTopStopped: ^Z gives the terminal back to the shell, fg takes it again, also when
// somebody else has stopped the program, and SIGTERM leaves nothing behind.
func TestTopStopped(t *testing.T) {
	testutil.LeakCheck(t)
	now, _ := topDevices(t)
	dir := serveAsked(t, changing{func() (*uapi.Device, error) { return now, nil }})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	router := filepath.Join(t.TempDir(), "router")
	if err := os.Symlink(self, router); err != nil { // TestMain goes by the name
		t.Fatal(err)
	}
	const rates = "received 0 bit/s"
	s := newShell(t)
	s.say(router + " top -i 200ms --socket-dir " + dir)
	s.see(enterScreen)
	s.see(rates)

	s.press(t, "\x1a")
	s.see(leaveScreen)
	s.see(prompt)
	s.usual("after ^Z")
	s.say("fg")
	s.see(enterScreen)
	s.see(rates)

	// Without a word to it.
	if err := syscall.Kill(s.child(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	s.see(prompt)
	s.press(t, "stty sane\n")
	s.see(prompt)
	s.say("fg")
	s.see(enterScreen)
	s.press(t, "l")
	s.see("LATENCY*")

	if err := syscall.Kill(s.child(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.see(leaveScreen)
	s.see(prompt)
	s.usual("after SIGTERM")
}

// A crashing sampler panics at its second sample.
type crashing struct{ n int }

func (c *crashing) next(context.Context) (*topSample, error) {
	if c.n++; c.n > 1 {
		panic("a fault in the program")
	}
	return sampleOf(&uapi.Device{}, time.Now()), nil
}

// TestTopCrash: a panic of any goroutine arrives when the terminal is restored.
func TestTopCrash(t *testing.T) {
	testutil.LeakCheck(t)
	p := newPTY(t, 80, 24)
	mode, err := termiosOf(p.inside)
	if err != nil {
		t.Fatal(err)
	}
	crash := func() (v any) {
		defer func() { v = recover() }()
		err = runTopScreen(t.Context(), openTTY(p.inside, p.inside), new(crashing), time.Millisecond, topLook{})
		return nil
	}()
	c, ok := crash.(error)
	if !ok || !strings.Contains(c.Error(), "a fault in the program") || !strings.Contains(c.Error(), "takeSamples") || err != nil {
		t.Errorf("panic %v, error %v", crash, err)
	}
	p.await(t, "the old screen", func(s string) bool { return strings.HasSuffix(s, leaveScreen) })
	restored, err := termiosOf(p.inside)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(mode, restored); diff != "" {
		t.Errorf("mode of the terminal (-before +after):\n%s", diff)
	}
}
