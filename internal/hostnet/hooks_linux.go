// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// outputGrace is how long a command that has ended is waited for to have its
// output read. Only one that leaves a program in the background uses it up.
const outputGrace = 100 * time.Millisecond

// A runner runs hooks and resolvconf and passes on what they print. A program
// that a command leaves in the background keeps its output until close.
type runner struct {
	log    *slog.Logger
	output io.Writer // nil: the log

	wg sync.WaitGroup // the goroutines that read output

	mu   sync.Mutex // guards what follows, and writing to output
	open map[*transcript]struct{}
}

// A transcript is the output of one command being passed on.
type transcript struct {
	file *os.File
	done chan struct{} // closed at the end of the output
	last string        // the last line, for error texts; guarded by the runner's mu
}

// maxLine bounds the memory for output without line ends: longer lines are
// passed on in pieces.
const maxLine = 4096

func newRunner(log *slog.Logger, output io.Writer) *runner {
	return &runner{log: log, output: output, open: make(map[*transcript]struct{})}
}

// hook runs one hook until it ends or ctx does.
func (r *runner) hook(ctx context.Context, name, hook string) error {
	shell, bash := "bash", true
	if _, err := exec.LookPath(shell); err != nil {
		shell, bash = "sh", false
	}
	return r.run(ctx, exec.CommandContext(ctx, shell, hookArgs(bash, hook, name)...))
}

// run runs a command to its end. When ctx ends, the command dies with all of
// its process group. The command must not have output of its own set.
func (r *runner) run(ctx context.Context, cmd *exec.Cmd) error {
	cmd.Env = append(cmd.Environ(), "LC_ALL=C") // as wg-quick: texts that scripts can read
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

	if f, ok := r.output.(*os.File); ok {
		cmd.Stdout, cmd.Stderr = f, f
		return commandError(ctx, cmd.Run(), "")
	}
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = write, write
	err = cmd.Start()
	write.Close()
	if err != nil {
		read.Close()
		return err
	}
	t := r.follow(read)
	err = cmd.Wait()
	select {
	case <-t.done:
	case <-time.After(outputGrace):
	}
	r.mu.Lock()
	last := t.last
	r.mu.Unlock()
	return commandError(ctx, err, last)
}

// commandError adds to the error of a command what it said last, and replaces
// "killed" by the reason.
func commandError(ctx context.Context, err error, last string) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && last != "" {
		return fmt.Errorf("%w: %s", err, last)
	}
	return err
}

// follow passes on what is read from f until its end.
func (r *runner) follow(f *os.File) *transcript {
	t := &transcript{file: f, done: make(chan struct{})}
	r.mu.Lock()
	r.open[t] = struct{}{}
	r.mu.Unlock()
	r.wg.Go(func() {
		defer close(t.done)
		lines := bufio.NewReaderSize(f, maxLine)
		for {
			line, err := lines.ReadSlice('\n')
			r.pass(t, line)
			if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
				break
			}
		}
		r.mu.Lock()
		delete(r.open, t)
		r.mu.Unlock()
		f.Close()
	})
	return t
}

// pass passes on one line, with its line end if it has one.
func (r *runner) pass(t *transcript, line []byte) {
	if len(line) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	text := string(bytes.TrimRight(line, "\r\n"))
	if text != "" {
		t.last = text
	}
	if r.output != nil {
		r.output.Write(line) // a reader that is gone is no reason to stop a hook
		return
	}
	r.log.Info("hook output", "line", text)
}

// close stops following programs in the background and waits for the goroutines
// that did.
func (r *runner) close() {
	r.mu.Lock()
	for t := range r.open {
		t.file.Close()
	}
	r.mu.Unlock()
	r.wg.Wait()
}
