// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"golang.org/x/sys/unix"
)

// A Command is a program to run in a host.
type Command struct {
	Path  string // with a slash, or a name that is looked up in the host's PATH
	Args  []string
	Env   []string // "NAME=value", beside PATH, HOME and LC_ALL
	Stdin string
	Files []*os.File // become descriptors 3, 4, …
}

// command prepares c as os/exec wants it. The process sees the host's files and
// nothing of this process's environment.
func (h *Host) command(ctx context.Context, c Command) (*exec.Cmd, error) {
	path := c.Path
	if !strings.Contains(path, "/") {
		if tool := filepath.Join(h.tools, path); exists(tool) {
			path = tool
		} else if found, err := exec.LookPath(path); err == nil {
			path = found
		} else {
			return nil, err
		}
	}
	cmd := exec.CommandContext(ctx, path, c.Args...)
	cmd.Args[0] = c.Path
	cmd.Dir = "/"
	cmd.Env = append([]string{
		"PATH=" + h.tools + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "LC_ALL=C.UTF-8", "GORACE=halt_on_error=1",
	}, c.Env...)
	cmd.ExtraFiles = c.Files
	if c.Stdin != "" {
		cmd.Stdin = strings.NewReader(c.Stdin)
	}
	return cmd, nil
}

func exists(path string) bool { _, err := os.Lstat(path); return err == nil }

// startInside starts cmd with the namespaces of the host.
func (h *Host) startInside(cmd *exec.Cmd) error {
	return testutil.OnThrowawayThread(func() error {
		if err := unix.Unshare(unix.CLONE_FS); err != nil { // setns to a mount namespace wants it
			return os.NewSyscallError("unshare", err)
		}
		for _, ns := range []struct {
			file *os.File
			kind int
		}{{h.mnt, unix.CLONE_NEWNS}, {h.net, unix.CLONE_NEWNET}, {h.pid, unix.CLONE_NEWPID}} {
			if err := unix.Setns(int(ns.file.Fd()), ns.kind); err != nil {
				return os.NewSyscallError("setns", err)
			}
		}
		return cmd.Start()
	})
}

// A Result is what a program that has ended left.
type Result struct {
	Code           int // exit code; -1 when a signal ended it
	Stdout, Stderr string
}

// Exec runs a program to its end and returns the result, whatever the exit
// code. After [Patience] the program is killed and the test fails.
func (h *Host) Exec(c Command) Result {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	r, err := h.exec(ctx, c)
	if err != nil {
		h.t.Fatalf("host %s: %s: %v\n%s%s", h.Name, c, err, r.Stdout, r.Stderr)
	}
	return r
}

func (h *Host) exec(ctx context.Context, c Command) (Result, error) {
	cmd, err := h.command(ctx, c)
	if err != nil {
		return Result{}, err
	}
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// A daemon may keep the pipes open: do not wait for it longer than this.
	cmd.WaitDelay = time.Second
	if err := h.startInside(cmd); err != nil {
		return Result{}, err
	}
	err = cmd.Wait()
	r := Result{Code: cmd.ProcessState.ExitCode(), Stdout: stdout.String(), Stderr: stderr.String()}
	if crash := crashed(r.Stderr); crash != "" {
		return r, fmt.Errorf("the program crashed: %s", crash)
	}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return r, ctx.Err()
	case err == nil, errors.As(err, &exit), errors.Is(err, exec.ErrWaitDelay):
		return r, nil
	}
	return r, err
}

// Output runs a program to its end and returns its standard output. The test
// fails unless the program succeeds.
func (h *Host) Output(name string, args ...string) string {
	h.t.Helper()
	c := Command{Path: name, Args: args}
	r := h.Exec(c)
	if r.Code != 0 {
		h.t.Fatalf("host %s: %s: exit code %d\n%s%s", h.Name, c, r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// String returns the command line.
func (c Command) String() string { return strings.Join(append([]string{c.Path}, c.Args...), " ") }

// A Process is a program that runs in a host.
type Process struct {
	host *Host
	what string
	cmd  *exec.Cmd
	out  *os.File
	done chan struct{} // closed when the process has ended

}

// Start starts a program that is killed at the end of the test, if it still
// runs then.
func (h *Host) Start(c Command) *Process {
	h.t.Helper()
	cmd, err := h.command(context.Background(), c)
	if err != nil {
		h.t.Fatalf("host %s: %v", h.Name, err)
	}
	// A file and not a pipe, so that nothing waits for whoever inherits it.
	out, err := os.Create(filepath.Join(h.t.TempDir(), "output"))
	if err != nil {
		h.t.Fatalf("host %s: %v", h.Name, err)
	}
	cmd.Stdout, cmd.Stderr = out, out
	p := &Process{host: h, what: c.String(), cmd: cmd, out: out, done: make(chan struct{})}
	if err := h.startInside(cmd); err != nil {
		out.Close()
		h.t.Fatalf("host %s: start %s: %v", h.Name, c, err)
	}
	go func() {
		cmd.Wait()
		close(p.done)
	}()
	h.t.Cleanup(p.cleanup)
	return p
}

func (p *Process) cleanup() {
	p.host.logState() // while the process is there
	p.cmd.Process.Kill()
	<-p.done
	output := p.Output()
	p.out.Close()
	if crash := crashed(output); crash != "" {
		p.host.t.Errorf("host %s: %s crashed: %s", p.host.Name, p.what, crash)
	}
	if p.host.t.Failed() {
		p.host.t.Logf("host %s: output of %s (%v):\n%s", p.host.Name, p.what, p.cmd.ProcessState, output)
	}
}

// crashed returns the line of a Go program's output that tells of a panic, a
// runtime error or a data race; "" when there is none.
func crashed(output string) string {
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") || line == "WARNING: DATA RACE" {
			return line
		}
	}
	return ""
}

// Output returns what the process has written so far to standard output and
// standard error.
func (p *Process) Output() string {
	b, err := os.ReadFile(p.out.Name())
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Pid returns the process id as seen from outside the host.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running reports whether the process has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Signal sends a signal to the process.
func (p *Process) Signal(sig syscall.Signal) {
	p.host.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.host.t.Fatalf("host %s: signal %v to %s: %v", p.host.Name, sig, p.what, err)
	}
}

// Kill ends the process with SIGKILL and waits for its end.
func (p *Process) Kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// Wait waits for the process to end by itself and returns its exit code (-1
// when a signal ended it). The test fails when that takes longer than
// [Patience].
func (p *Process) Wait() int {
	p.host.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(Patience):
		p.host.t.Fatalf("host %s: %s still runs after %v", p.host.Name, p.what, Patience)
		return 0
	}
}

// Stop sends SIGTERM and returns [Process.Wait].
func (p *Process) Stop() int {
	p.host.t.Helper()
	p.Signal(syscall.SIGTERM)
	return p.Wait()
}
