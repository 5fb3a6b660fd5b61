// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/tunwrap"
	"github.com/tunrouter/tunrouter/uapi"
)

// A host is a network namespace with a /var/run of its own, in which the
// program keeps the contract of a userspace WireGuard.
type host struct {
	t   *testing.T
	ns  *testutil.NS
	run string // stands for /var/run
}

func newHost(t *testing.T) *host {
	t.Helper()
	testutil.NeedNetNS(t)
	testutil.NeedTool(t, "ip", "mount", "sh")
	return &host{t: t, ns: testutil.NewNS(t), run: shortDir(t)}
}

// inside makes cmd run on the host.
func (h *host) inside(cmd *exec.Cmd) *exec.Cmd {
	cmd.Args = append([]string{"sh", "-c", `mount --bind "$0" /var/run && name=$1 && shift && exec -a "$name" "$@"`, h.run, cmd.Args[0], cmd.Path}, cmd.Args[1:]...)
	cmd.Args[0] = "bash" // sh need not know exec -a
	path, err := exec.LookPath("bash")
	if err != nil {
		testutil.Missing(h.t, "bash")
	}
	cmd.Path = path
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	return cmd
}

func (h *host) start(cmd *exec.Cmd) {
	h.t.Helper()
	if err := h.ns.Do(h.inside(cmd).Start); err != nil {
		h.t.Fatal(err)
	}
}

// runProgram runs the program under a name until it ends, which for a daemon is when
// it is ready.
func (h *host) runProgram(name string, env []string, args ...string) (output string, code int) {
	h.t.Helper()
	cmd := program(h.t, name, args...)
	var out transcript
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = append(os.Environ(), env...)
	h.start(cmd)
	err := cmd.Wait()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		h.t.Fatalf("%s %v: %v", name, args, err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

func (h *host) ip(args ...string) {
	h.t.Helper()
	h.ns.Run(func() {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			h.t.Errorf("ip %v: %v: %s", args, err, out)
		}
	})
}

func (h *host) socket(name string) string { return filepath.Join(h.run, "wireguard", name+".sock") }

func (h *host) hasLink(name string) (found bool) {
	h.ns.Run(func() {
		_, err := net.InterfaceByName(name)
		found = err == nil
	})
	return found
}

// mustRun checks that a router is there: interface and control socket.
func (h *host) mustRun(name string) {
	h.t.Helper()
	if !h.hasLink(name) {
		h.t.Errorf("no interface %s", name)
	}
	c, err := uapi.Dial(h.socket(name))
	if err != nil {
		h.t.Error(err)
		return
	}
	defer c.Close()
	if _, err := c.Get(); err != nil {
		h.t.Error(err)
	}
}

// gone waits until nothing of a router is left.
func (h *host) gone(name string) {
	h.t.Helper()
	testutil.Eventually(h.t, processTimeout, "router "+name+" is gone", func() error {
		if h.hasLink(name) {
			return errors.New("interface is there")
		}
		if _, err := os.Lstat(h.socket(name)); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("socket file: %v", err)
		}
		return nil
	})
}

// TestDaemon: the command returns when interface and socket are there, and the
// router in the background ends when either is deleted.
func TestDaemon(t *testing.T) {
	tests := []struct {
		name, program string
		args          []string
		end           func(*host)
	}{
		{"link deleted", "router", []string{"wg7"}, func(h *host) { h.ip("link", "del", "wg7") }},
		{"socket deleted", "router", []string{"--", "wg7"}, func(h *host) { os.Remove(h.socket("wg7")) }},
		{"as wireguard-go", wireguardGo, []string{"wg7"}, func(h *host) { h.ip("link", "del", "wg7") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHost(t)
			out, code := h.runProgram(tt.program, nil, tt.args...)
			if code != 0 || out != "" {
				t.Fatalf("exit code %d, output %q", code, out)
			}
			h.mustRun("wg7")
			tt.end(h)
			h.gone("wg7")
		})
	}
}

// TestDaemonCommandNames: under the name wireguard-go commands are interface
// names like any other.
func TestDaemonCommandNames(t *testing.T) {
	h := newHost(t)
	for program, args := range map[string][]string{wireguardGo: {"status"}, "router": {"--", "reload"}} {
		name := args[len(args)-1]
		if out, code := h.runProgram(program, nil, args...); code != 0 {
			t.Fatalf("exit code %d, output %q", code, out)
		}
		h.mustRun(name)
		h.ip("link", "del", name)
		h.gone(name)
	}
}

// TestDaemonFails: the parent says what went wrong in the background.
func TestDaemonFails(t *testing.T) {
	h := newHost(t)
	h.ip("link", "add", "taken", "type", "bridge")
	tests := []struct {
		name string
		env  []string
		args []string
		want string
	}{
		{"name taken", nil, []string{"taken"}, "interface of this name exists"},
		{"no name", nil, []string{"a/b"}, "not an interface name"},
		{"tun descriptor", []string{"WG_TUN_FD=0"}, []string{"wg7"}, "WG_TUN_FD"},
		{"tun descriptors", []string{"WG_TUN_FD=x"}, []string{"wg7"}, "WG_TUN_FD"},
		{"socket descriptor", []string{"WG_UAPI_FD=0"}, []string{"wg7"}, "WG_UAPI_FD"},
	}
	for _, tt := range tests {
		for _, foreground := range []bool{false, true} {
			args := tt.args
			if foreground {
				args = append([]string{"-f"}, args...)
			}
			out, code := h.runProgram("router", tt.env, args...)
			if code != 1 || !strings.HasPrefix(out, "router: ") || !strings.Contains(out, tt.want) || strings.Count(out, "\n") > 2 {
				t.Errorf("%s, foreground %v: exit code %d, output %q, want 1 and %q in one or two lines", tt.name, foreground, code, out, tt.want)
			}
			if h.hasLink("wg7") {
				t.Errorf("%s: an interface is left behind", tt.name)
			}
		}
	}
	if entries, err := os.ReadDir(filepath.Join(h.run, "wireguard")); err == nil && len(entries) > 0 {
		t.Errorf("left behind: %v", entries)
	}
}

// TestDaemonLog: with LOG_LEVEL the background writes to where the command did.
func TestDaemonLog(t *testing.T) {
	h := newHost(t)
	cmd := program(t, "router", "wg7")
	var out transcript
	cmd.Stderr = &out
	cmd.Env = append(os.Environ(), "LOG_LEVEL=verbose")
	h.start(cmd)
	waited := make(chan error, 1)
	go func() { waited <- cmd.Wait() }() // ends with the output, which the background keeps open
	testutil.Eventually(t, processTimeout, "router is there", func() error {
		c, err := uapi.Dial(h.socket("wg7"))
		if err == nil {
			c.Close()
		}
		return err
	})
	h.ip("link", "del", "wg7")
	h.gone("wg7")
	if err := <-waited; err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		t.Errorf("wait: %v", err)
	}
	if !strings.Contains(out.String(), "level=INFO") || !strings.Contains(out.String(), "name=wg7") {
		t.Errorf("log: %q", out.String())
	}
}

// TestForeground: signals, and an end by deletion, are a success.
func TestForeground(t *testing.T) {
	ends := map[string]func(*host, *os.Process) error{
		"SIGINT":  func(_ *host, p *os.Process) error { return p.Signal(syscall.SIGINT) },
		"SIGTERM": func(_ *host, p *os.Process) error { return p.Signal(syscall.SIGTERM) },
		"link":    func(h *host, _ *os.Process) error { h.ip("link", "del", "wg7"); return nil },
		"socket":  func(h *host, _ *os.Process) error { return os.Remove(h.socket("wg7")) },
	}
	for name, end := range ends {
		for _, args := range [][]string{{"-f", "wg7"}, {"--foreground", "wg7"}, {"wg7"}} {
			t.Run(name+" "+args[0], func(t *testing.T) {
				h := newHost(t)
				m := newManager(t)
				cmd := program(t, "router", args...)
				var out transcript
				cmd.Stderr = &out
				cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+m.path, "LOG_LEVEL=silent")
				if len(args) == 1 {
					cmd.Env = append(cmd.Env, "WG_PROCESS_FOREGROUND=1")
				}
				h.start(cmd)
				m.expect(`READY=1\nSTATUS=wg7 .*`)
				h.mustRun("wg7")
				if err := end(h, cmd.Process); err != nil {
					t.Fatal(err)
				}
				m.expect(`STOPPING=1`)
				if err := cmd.Wait(); err != nil {
					t.Errorf("end: %v", err)
				}
				if out.String() != "" {
					t.Errorf("output with LOG_LEVEL=silent: %q", out.String())
				}
				h.gone("wg7")
			})
		}
	}
}

// TestPassedDescriptors: TUN and socket of another program, in the foreground
// and handed on to the background.
func TestPassedDescriptors(t *testing.T) {
	for _, foreground := range []bool{true, false} {
		t.Run(fmt.Sprintf("foreground %v", foreground), func(t *testing.T) {
			h := newHost(t)
			var dev *tunwrap.Device
			if err := h.ns.Do(func() (err error) {
				dev, err = tunwrap.Create("wg8", &tunwrap.Options{Queues: 2})
				return err
			}); err != nil {
				t.Fatal(err)
			}
			defer dev.Close()
			control, err := uapi.Listen(h.socket("wg8"), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer control.Detach()
			socket, err := control.File()
			if err != nil {
				t.Fatal(err)
			}
			defer socket.Close()

			// The name on the command line is not that of the interface, which counts.
			cmd := program(t, "router", "other")
			cmd.ExtraFiles = []*os.File{dev.Queues()[0].File(), socket, dev.Queues()[1].File()}
			cmd.Env = append(os.Environ(), "WG_TUN_FD=3,5", "WG_UAPI_FD=4")
			if foreground {
				cmd.Env = append(cmd.Env, "WG_PROCESS_FOREGROUND=1")
			}
			h.start(cmd)
			if !foreground {
				if err := cmd.Wait(); err != nil {
					t.Fatal(err)
				}
			}
			h.mustRun("wg8") // served by the program: nobody serves it here
			if err := dev.Close(); err != nil {
				t.Fatal(err)
			}
			h.mustRun("wg8")
			if err := os.Remove(h.socket("wg8")); err != nil {
				t.Fatal(err)
			}
			h.gone("wg8")
			if foreground {
				if err := cmd.Wait(); err != nil {
					t.Errorf("end: %v", err)
				}
			}
		})
	}
}

// TestNoCapability: without CAP_NET_ADMIN the message names it and the mode
// that does without.
func TestNoCapability(t *testing.T) {
	h := newHost(t)
	path := writeConfig(t, shortDir(t), "wg7.conf", "[Interface]\nPrivateKey = "+testKey+"\n")
	for _, args := range [][]string{{"up", path}, {"-f", "wg7"}} {
		cmd := program(t, "router", args...)
		var out transcript
		cmd.Stderr = &out
		cmd.Env = append(os.Environ(), "LOG_LEVEL=silent")
		// Root of a new user namespace has no rights over this network namespace.
		self := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		group := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: self, GidMappings: group}
		if err := h.ns.Do(cmd.Start); err != nil {
			testutil.Missing(t, "user namespaces: "+err.Error())
		}
		if err := cmd.Wait(); err == nil {
			t.Errorf("router %v: no error", args)
		}
		if code := cmd.ProcessState.ExitCode(); code != 1 {
			t.Errorf("router %v: exit code %d, want 1", args, code)
		}
		for _, want := range []string{"CAP_NET_ADMIN", "netstack"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("router %v: no %q in %q", args, want, out.String())
			}
		}
		if strings.Count(out.String(), "\n") > 2 {
			t.Errorf("router %v: more than two lines: %q", args, out.String())
		}
	}
}

// TestSecondSignalKills: a program that hangs while it takes things back can be
// ended by another signal, a little after the first.
func TestSecondSignalKills(t *testing.T) {
	h := newHost(t)
	m := newManager(t)
	dir := shortDir(t)
	hanging := filepath.Join(dir, "hanging")
	path := writeConfig(t, dir, "wg7.conf", "[Interface]\nPrivateKey = "+testKey+"\nAddress = 10.9.0.1/24\nPreDown = echo $$ > "+hanging+"; exec sleep 1000\n")
	cmd := program(t, "router", "up", path)
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+m.path)
	h.start(cmd)
	m.expect(`READY=1\nSTATUS=wg7 .*`)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	m.expect(`STOPPING=1`)
	var hook int
	testutil.Eventually(t, processTimeout, "hook runs", func() error {
		b, err := os.ReadFile(hanging)
		if err != nil {
			return err
		}
		_, err = fmt.Sscan(string(b), &hook)
		return err
	})
	defer syscall.Kill(hook, syscall.SIGKILL)
	// Right behind the first one it counts as the same.
	done := make(chan struct{})
	go func() {
		cmd.Wait()
		close(done)
	}()
	testutil.Eventually(t, processTimeout, "another signal ends the program", func() error {
		select {
		case <-done:
			return nil
		default:
			cmd.Process.Signal(syscall.SIGTERM)
			return errors.New("still there")
		}
	})
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("ended with %v, want killed by SIGTERM", cmd.ProcessState)
	}
}
