// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/internal/hostnet"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

func TestHook(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		testutil.Missing(t, "program bash is not installed")
	}
	tests := []struct {
		name, hook, output string
		fails              bool
	}{
		{name: "name", hook: "echo %i $INTERFACE", output: "wg0 wg0\n"},
		{name: "both outputs, in order", hook: "echo a; echo b >&2; echo c", output: "a\nb\nc\n"},
		{name: "quotes and comments", hook: `echo "a # b"; echo c # d`, output: "a # b\nc\n"},
		{name: "no line end", hook: "printf x", output: "x"},
		{name: "bash", hook: `[[ abc == a* ]] && echo ${INTERFACE/wg/tun} $BASH_SUBSHELL`, output: "tun0 0\n"},
		{name: "extended globs", hook: `x=a+(b); case abbb in $x) echo yes;; esac`, output: "yes\n"},
		{name: "locale", hook: "echo $LC_ALL", output: "C\n"},
		{name: "no arguments", hook: "echo $#", output: "0\n"},
		{name: "exit code", hook: "exit 3", fails: true},
		{name: "stops at the first failure", hook: "echo a; false; echo b", output: "a\n", fails: true},
		{name: "a failure in a pipe", hook: "false | true", fails: true},
		{name: "a failure that is dealt with", hook: "false || echo ok", output: "ok\n"},
		{name: "syntax", hook: "if", output: "bash: eval: line 2: syntax error: unexpected end of file from `if' command on line 1\n", fails: true},
		{name: "long lines", hook: "printf '%%.0s-' {1..10000}; echo", output: strings.Repeat("-", 10000) + "\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			testutil.LeakCheck(t)
			var output bytes.Buffer
			o := &hostnet.Options{Interface: "wg0", HookOutput: &output, Logger: testutil.Logger(t)}
			err := hostnet.RunHook(t.Context(), o, strings.ReplaceAll(tt.hook, "%%", "%"))
			if (err != nil) != tt.fails {
				t.Errorf("got error %v, want one: %v", err, tt.fails)
			}
			if tt.name == "syntax" { // the words differ between versions
				if !strings.Contains(output.String(), "syntax error") || !strings.Contains(err.Error(), "syntax error") {
					t.Errorf("got %q and %v", output.String(), err)
				}
			} else if output.String() != tt.output {
				t.Errorf("got %q, want %q", output.String(), tt.output)
			}
		})
	}
}

// Without bash, sh does.
func TestHookWithoutBash(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		testutil.Missing(t, "program sh is not installed")
	}
	bin := t.TempDir()
	if err := os.Symlink(sh, filepath.Join(bin, "sh")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	var output bytes.Buffer
	o := &hostnet.Options{Interface: "wg0", HookOutput: &output}
	if err := hostnet.RunHook(t.Context(), o, "echo %i $INTERFACE $#; false; echo no"); err == nil {
		t.Error("no error")
	}
	if want := "wg0 wg0 0\n"; output.String() != want {
		t.Errorf("got %q, want %q", output.String(), want)
	}
}

// A file gets the output without detour: what a hook leaves running in the
// background keeps it.
func TestHookOutputFile(t *testing.T) {
	testutil.NeedTool(t, "bash")
	testutil.LeakCheck(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	o := &hostnet.Options{Interface: "wg0", HookOutput: w}
	if err := hostnet.RunHook(t.Context(), o, "{ read line < /proc/self/fd/0 || true; sleep 0.2; echo later; } & echo now"); err != nil {
		t.Error(err)
	}
	w.Close()
	var output bytes.Buffer
	if _, err := output.ReadFrom(r); err != nil {
		t.Fatal(err)
	}
	if want := "now\nlater\n"; output.String() != want {
		t.Errorf("got %q, want %q", output.String(), want)
	}
}

// Nil output goes to the log, also that of a background program, until the end.
func TestHookOutputLog(t *testing.T) {
	testutil.NeedTool(t, "bash")
	testutil.LeakCheck(t)
	// Two, because a reader that opens one again may meet the writer before it closes.
	fifo, end := filepath.Join(t.TempDir(), "fifo"), filepath.Join(t.TempDir(), "end")
	for _, name := range []string{fifo, end} {
		if err := syscall.Mkfifo(name, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log := &lines{seen: make(chan string, 10)}
	o := &hostnet.Options{Logger: slog.New(slog.NewTextHandler(log, nil))}
	h := newHost(t)
	o.PostUp = []string{"echo first; { read line < " + fifo + "; echo $line; read line < " + end + "; } &"}
	s, err := h.up(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(fifo, []byte("second\n"), 0); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"line=first", "line=second"} {
		for line := range log.seen {
			if strings.Contains(line, want) {
				break
			}
		}
	}
	h.mustDown(s) // does not wait for the program
	if err := os.WriteFile(end, []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
	h.closeTUN()
}

// lines is a writer that hands on each line.
type lines struct{ seen chan string }

func (l *lines) Write(b []byte) (int, error) {
	l.seen <- string(b)
	return len(b), nil
}

// When the context ends, a hook dies with all that it has started.
func TestHookCanceled(t *testing.T) {
	testutil.NeedTool(t, "bash", "sleep")
	testutil.LeakCheck(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	log := &lines{seen: make(chan string, 10)}
	var wg sync.WaitGroup
	var err error
	wg.Go(func() {
		o := &hostnet.Options{Interface: "wg0", HookOutput: log}
		err = hostnet.RunHook(ctx, o, "sleep 1000 & echo $!; wait")
	})
	pid, convErr := strconv.Atoi(strings.TrimSpace(<-log.seen))
	if convErr != nil {
		t.Fatal(convErr)
	}
	cancel(why)
	wg.Wait()
	if !errors.Is(err, why) {
		t.Errorf("got %v, want %v", err, why)
	}
	testutil.Eventually(t, 10*time.Second, "the background process ends", func() error {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err == nil && !bytes.Contains(stat, []byte(") Z ")) {
			return fmt.Errorf("process %d still runs", pid)
		}
		return nil
	})
}

// DNS without a program for it: an error that says what to install or change.
func TestNoResolvconf(t *testing.T) {
	h := newHost(t)
	before := h.state()
	path := os.Getenv("PATH")
	t.Setenv("PATH", t.TempDir())
	_, err := h.up(&hostnet.Options{DNS: addrs("10.9.0.1")})
	t.Setenv("PATH", path)
	for _, want := range []string{"set dns of wg0", "openresolv", "systemd-resolved", "take DNS out"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	h.mustBe(before, "after the failure")
}

// A resolvconf that fails is told to forget what it may have done, and its words
// are in the error. systemd's resolvectl is called under the name that makes it
// behave as resolvconf.
func TestResolvconfFails(t *testing.T) {
	h := newHost(t)
	for _, program := range []string{"resolvconf", "resolvectl"} {
		t.Run(program, func(t *testing.T) {
			bin := t.TempDir()
			script := "#!/bin/sh\necho \"$@\" >> " + bin + "/calls\necho it is busy >&2\nexit 7\n"
			if err := os.WriteFile(filepath.Join(bin, program), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
			path := os.Getenv("PATH")
			t.Setenv("PATH", bin+":"+path)
			if program == "resolvectl" {
				if found, err := exec.LookPath("resolvconf"); err == nil {
					testutil.Missing(t, "a machine without "+found)
				}
			}
			_, err := h.up(&hostnet.Options{DNS: addrs("10.9.0.1")})
			if err == nil || !strings.Contains(err.Error(), "set dns of wg0: resolvconf: exit status 7: it is busy") {
				t.Errorf("got %v", err)
			}
			calls, err := os.ReadFile(filepath.Join(bin, "calls"))
			if want := "-a wg0 -m 0 -x\n-d wg0 -f\n"; err != nil || string(calls) != want {
				t.Errorf("calls: got %q, %v, want %q", calls, err, want)
			}
		})
	}
}
