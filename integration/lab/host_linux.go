// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package lab

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A Host is a machine of the lab: one network, mount and process namespace.
type Host struct {
	t    T
	Name string

	init          *exec.Cmd      // the host's first process
	stdin         io.WriteCloser // closing it ends the host
	net, mnt, pid *os.File       // the namespaces
	tools         string         // a directory that comes first in PATH

	closeOnce, logOnce sync.Once
}

// NewHost makes a host with loopback up. It ends with the test.
func NewHost(t T, name string) *Host {
	t.Helper()
	h := &Host{t: t, Name: name, tools: t.TempDir()}
	if err := h.start(); err != nil {
		h.Close()
		t.Fatalf("host %s: %v", name, err)
	}
	t.Cleanup(func() {
		h.logState()
		h.Close()
	})
	return h
}

func (h *Host) start() error {
	// The first process of a host is this program again, see Main.
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{initName}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID,
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	h.stdin = stdin
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	h.init = cmd
	answer, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || answer != "ok\n" {
		return fmt.Errorf("init: %q: %w", strings.TrimSpace(answer), errors.Join(err, errors.New("does Main come first in the program?")))
	}
	for _, ns := range []struct {
		file **os.File
		name string
	}{{&h.net, "net"}, {&h.mnt, "mnt"}, {&h.pid, "pid"}} {
		if *ns.file, err = os.Open(fmt.Sprintf("/proc/%d/ns/%s", cmd.Process.Pid, ns.name)); err != nil {
			return err
		}
	}
	for name, value := range map[string]string{
		// As distributions have it: without, removing an address removes those
		// that were added after it.
		"net/ipv4/conf/all/promote_secondaries": "1",
		// IPv6 addresses can be used at once; the delay is that of the first step
		// of an address too.
		"net/ipv6/conf/default/dad_transmits":             "0",
		"net/ipv6/conf/default/accept_dad":                "0",
		"net/ipv6/conf/default/router_solicitation_delay": "0",
	} {
		if err := h.sysctl(name, value); err != nil {
			return err
		}
	}
	return h.Do(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
}

// Close ends the host and every process in it. It is called at the end of the
// test, and may be called before.
func (h *Host) Close() {
	h.closeOnce.Do(func() {
		if h.stdin != nil {
			h.stdin.Close()
		}
		if h.init != nil {
			h.init.Wait()
		}
		for _, f := range []*os.File{h.net, h.mnt, h.pid} {
			if f != nil {
				f.Close()
			}
		}
	})
}

// Do runs f inside the host's network namespace on the caller's goroutine and
// returns its error. It does not change what files f sees; see [Host.Path].
func (h *Host) Do(f func() error) error { return testutil.InNS(h.net, f) }

// Run is [Host.Do] for functions that fail the test themselves.
func (h *Host) Run(f func()) {
	h.t.Helper()
	if err := h.Do(func() error { f(); return nil }); err != nil {
		h.t.Fatalf("host %s: %v", h.Name, err)
	}
}

// Path returns the path under which this process sees the host's file name,
// which is absolute.
func (h *Host) Path(name string) string {
	return fmt.Sprintf("/proc/%d/root%s", h.init.Process.Pid, name)
}

// WriteFile writes one of the host's files, making directories as needed.
func (h *Host) WriteFile(name, text string, perm os.FileMode) {
	h.t.Helper()
	path := h.Path(name)
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(text), perm)
	}
	if err == nil {
		err = os.Chmod(path, perm) // whatever the umask
	}
	if err != nil {
		h.t.Fatalf("host %s: %v", h.Name, err)
	}
}

// ReadFile reads one of the host's files; "" when there is none.
func (h *Host) ReadFile(name string) string {
	h.t.Helper()
	b, err := os.ReadFile(h.Path(name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		h.t.Fatalf("host %s: %v", h.Name, err)
	}
	return string(b)
}

// AddTool puts a program first in the PATH of everything that the host runs: a
// link when target is set, else a file with the text of a script.
func (h *Host) AddTool(name, target, script string) {
	h.t.Helper()
	path := filepath.Join(h.tools, name)
	var err error
	if target != "" {
		err = os.Symlink(target, path)
	} else {
		err = os.WriteFile(path, []byte(script), 0o755)
	}
	if err != nil {
		h.t.Fatalf("host %s: %v", h.Name, err)
	}
}

// Processes returns the ids, as seen from outside, of the host's living
// processes other than its init, in ascending order.
func (h *Host) Processes() []int {
	h.t.Helper()
	want, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", h.init.Process.Pid))
	if err != nil {
		h.t.Fatalf("host %s: %v", h.Name, err)
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		h.t.Fatalf("host %s: %v", h.Name, err)
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == h.init.Process.Pid {
			continue
		}
		if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid)); err != nil || ns != want {
			continue // ended, or elsewhere
		}
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err != nil || zombie(string(stat)) {
			continue
		}
		pids = append(pids, pid)
	}
	slices.Sort(pids)
	return pids
}

// zombie reports whether the text of /proc/PID/stat is of a process that has
// ended and has not been waited for.
func zombie(stat string) bool {
	_, after, ok := strings.Cut(stat, ") ") // the name may contain anything else
	return ok && (strings.HasPrefix(after, "Z") || strings.HasPrefix(after, "X"))
}

// Counter returns a counter of the network namespace from /proc/net/snmp or
// /proc/net/netstat, such as "Tcp", "RetransSegs" or "UdpLite", "InErrors".
func (h *Host) Counter(section, name string) int64 {
	h.t.Helper()
	for _, file := range []string{"snmp", "netstat"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", h.init.Process.Pid, file))
		if err != nil {
			h.t.Fatalf("host %s: %v", h.Name, err)
		}
		if n, ok := counter(string(text), section, name); ok {
			return n
		}
	}
	h.t.Fatalf("host %s: no counter %s %s", h.Name, section, name)
	return 0
}

// EchoReplies returns how many answers to pings, of both families, the host's
// kernel has received.
func (h *Host) EchoReplies() int64 {
	h.t.Helper()
	return h.Counter("Icmp", "InEchoReps") + h.Counter6("Icmp6InEchoReplies")
}

// Counter6 returns a counter of the network namespace from /proc/net/snmp6; 0
// when there is none, as with messages of a type that has not been seen.
func (h *Host) Counter6(name string) int64 {
	h.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/snmp6", h.init.Process.Pid))
	if err != nil {
		h.t.Fatalf("host %s: %v", h.Name, err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == name {
			n, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				h.t.Fatalf("host %s: %q: %v", h.Name, line, err)
			}
			return n
		}
	}
	return 0
}

// counter finds a value in the pairs of lines "Section: names…" and
// "Section: values…".
func counter(text, section, name string) (int64, bool) {
	var names []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != section+":" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		i := slices.Index(names, name)
		if i < 0 || i >= len(fields) {
			return 0, false
		}
		n, err := strconv.ParseInt(fields[i], 10, 64)
		return n, err == nil
	}
	return 0, false
}
