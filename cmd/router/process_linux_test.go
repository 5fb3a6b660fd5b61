// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// testKey is a private key for configuration files.
const testKey = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="

// processTimeout ends programs that hang.
const processTimeout = time.Minute

// program returns a command that runs this program under a name.
func program(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), processTimeout)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Args[0] = name // TestMain goes by this
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// shortDir is a temporary directory with a short path, for sockets.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "router")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func writeConfig(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A transcript is the output of a program, which may be read while it runs.
type transcript struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *transcript) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *transcript) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// A manager stands for systemd: it receives what a service says about itself.
type manager struct {
	t    *testing.T
	path string
	conn *net.UnixConn
}

func newManager(t *testing.T) *manager {
	t.Helper()
	path := filepath.Join(shortDir(t), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &manager{t: t, path: path, conn: conn}
}

// expect waits for the next message and compares it with a pattern.
func (m *manager) expect(pattern string) {
	m.t.Helper()
	buf := make([]byte, 4096)
	if err := m.conn.SetReadDeadline(time.Now().Add(processTimeout)); err != nil {
		m.t.Fatal(err)
	}
	n, err := m.conn.Read(buf)
	if err != nil {
		m.t.Fatalf("waiting for %s: %v", pattern, err)
	}
	if !regexp.MustCompile(`^` + pattern + `$`).Match(buf[:n]) {
		m.t.Errorf("service manager was told %q, want %s", buf[:n], pattern)
	}
}

// TestNotify: what the service manager is told, from start to end.
func TestNotify(t *testing.T) {
	m := newManager(t)
	dir := shortDir(t)
	path := writeConfig(t, dir, "a.conf", "[Interface]\nPrivateKey = "+testKey+"\n[Router]\nMode = netstack\n")
	cmd := program(t, "router", "up", "--socket-dir", dir, path)
	var out transcript
	cmd.Stderr = &out
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+m.path)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m.expect(`READY=1\nSTATUS=a on UDP port [0-9]+ with 0 peers`)

	hangup := func() {
		t.Helper()
		if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		m.expect(`RELOADING=1\nMONOTONIC_USEC=[0-9]+\n`)
	}
	writeConfig(t, dir, "a.conf", "[Interface]\nPrivateKey = "+testKey+"\n[Router]\nMode = netstack\n[Peer]\nPublicKey = hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTms=\n")
	hangup()
	m.expect(`READY=1\nSTATUS=a on UDP port [0-9]+ with .*`)
	writeConfig(t, dir, "a.conf", "[Interface]\nPrivateKy = x\n")
	hangup()
	m.expect(`READY=1\nSTATUS=the configuration was not reloaded, see the log`)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	m.expect(`STOPPING=1`)
	if err := cmd.Wait(); err != nil {
		t.Errorf("end: %v", err)
	}
	if !strings.Contains(out.String(), "a.conf:2: PrivateKy") {
		t.Errorf("the log does not say why the reload failed:\n%s", out.String())
	}
}
