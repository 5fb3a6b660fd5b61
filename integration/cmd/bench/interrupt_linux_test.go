// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/internal/testutil"
	"golang.org/x/sys/unix"
)

// TestInterrupt interrupts the command in the middle of its second run: it says
// what the first has found, and nothing of it stays.
func TestInterrupt(t *testing.T) {
	testutil.NeedNetNS(t)
	testutil.NeedTool(t, "ip", "ping")
	out, dir := t.TempDir(), t.TempDir()
	var stdout bytes.Buffer
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "TMPDIR="+dir,
		asBench+"=-impl fork -only hub16,hub16-host -quick -v -json "+filepath.Join(out, "json")+" -svg "+filepath.Join(out, "svg"))
	cmd.Stdout = &stdout
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	var started []int
	for lines, first := bufio.NewScanner(stderr), false; lines.Scan(); {
		fmt.Fprintln(&log, lines.Text())
		first = first || strings.HasPrefix(lines.Text(), "1/2 ")
		if first && strings.HasPrefix(lines.Text(), "\t") && started == nil { // a trial of the second
			if started = children(t, cmd.Process.Pid); len(started) < 3 {
				t.Errorf("only processes %v run, not two hosts and the program", started)
			}
			cmd.Process.Signal(unix.SIGINT)
		}
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 130 {
		t.Fatalf("got %v:\n%s", err, log.String())
	}
	if got := stdout.String(); !strings.Contains(got, "### hub16:") || !strings.Contains(got, stoppedNote) || strings.Contains(got, "### hub16-host:") {
		t.Errorf("it prints\n%s", got)
	}
	for _, name := range []string{"json", "svg"} {
		if b, err := os.ReadFile(filepath.Join(out, name)); err != nil || len(b) < 1000 {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
	lab.Wait(t, lab.Patience, "all processes have ended", func() error {
		for _, pid := range started {
			if err := unix.Kill(pid, 0); err == nil {
				return fmt.Errorf("process %d is there", pid)
			}
		}
		return nil
	})
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("temporary files: %v, %v", left, err)
	}
}

// children returns the processes that a process has started and that live.
func children(t *testing.T, pid int) []int {
	t.Helper()
	var all []int
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range tasks {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		for _, field := range strings.Fields(string(text)) {
			var child int
			if _, err := fmt.Sscan(field, &child); err != nil {
				t.Fatal(err)
			}
			all = append(all, child)
		}
	}
	return all
}
