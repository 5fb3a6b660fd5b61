// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package redirect

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tunrouter/tunrouter/internal/testutil"
)

// attach attaches in the near namespace.
func (l *lab) attach(p *Program, mode Mode) (used Mode, refusals []*Refusal, err error) {
	l.near.Run(func() { used, refusals, err = p.Attach(l.ifindex, mode) })
	return used, refusals, err
}

// programID returns the XDP program of the near end, 0 for none.
func (l *lab) programID(t *testing.T) (id uint32) {
	t.Helper()
	l.near.Run(func() {
		link, err := netlink.LinkByIndex(l.ifindex)
		must(t, err)
		if xdp := link.Attrs().Xdp; xdp != nil && xdp.Attached {
			id = xdp.ProgId
		}
	})
	return id
}

// TestRedirect sends real datagrams: those to the port come out of the AF_XDP
// socket and not of the kernel's, others the other way round.
func TestRedirect(t *testing.T) {
	for _, mode := range []Mode{ModeNative, ModeGeneric} {
		t.Run(mode.String(), func(t *testing.T) {
			testutil.LeakCheck(t)
			l := newLab(t, 1)
			p := load(t, &Options{Port: testPort, Addresses: []netip.Addr{our4(), our6()}})
			if used, _, err := l.attach(p, mode); err != nil || used != mode {
				t.Fatalf("attached %v, %v", used, err)
			}
			if !p.Attached() || l.programID(t) != uint32(p.id) {
				t.Fatalf("attached %v, the interface has program %d, want %d", p.Attached(), l.programID(t), p.id)
			}
			kernel, other := l.listen(t, testPort), l.listen(t, testPort+1)
			for _, to := range []netip.Addr{our4(), our6()} {
				l.send(t, to, testPort, "no socket yet")
				if got := receive(t, kernel); got != "no socket yet" {
					t.Errorf("kernel received %q", got)
				}
			}
			r := l.receiver(t, 0)
			must(t, p.Register(0, r.fd))
			for _, to := range []netip.Addr{our4(), our6()} {
				l.send(t, to, testPort, "ours to "+to.String())
				if frame := r.receive(t); !strings.HasSuffix(string(frame), "ours to "+to.String()) {
					t.Errorf("redirected frame: %q", frame)
				}
				l.send(t, to, testPort+1, "theirs")
				if got := receive(t, other); got != "theirs" {
					t.Errorf("kernel received %q on the other port", got)
				}
				// Larger than the MTU: the kernel puts it together.
				large := strings.Repeat("0123456789", 300)
				l.send(t, to, testPort, large)
				if got := receive(t, kernel); got != large {
					t.Errorf("kernel received %d bytes, want 3000 in fragments", len(got))
				}
			}
			c, err := p.Counts()
			must(t, err)
			if c[Redirected] != 2 || c[PassNoSocket] != 2 || c[PassPort] != 2 || c[PassFragment] == 0 || c[PassProtocol] == 0 {
				t.Errorf("counters: %v", c)
			}
			must(t, p.Detach())
			if p.Attached() || l.programID(t) != 0 {
				t.Error("still attached after Detach")
			}
			l.send(t, our4(), testPort, "detached")
			if got := receive(t, kernel); got != "detached" {
				t.Errorf("kernel received %q", got)
			}
		})
	}
}

// TestQueueWithoutSocket has a socket on queue 1 only: what comes on queue 0 passes.
// The kernel gives each sending socket a queue by chance; that all get the same has
// a probability of 2^-63.
func TestQueueWithoutSocket(t *testing.T) {
	l := newLab(t, 2)
	p := load(t, &Options{Port: testPort, Addresses: []netip.Addr{our4()}})
	_, _, err := l.attach(p, ModeNative)
	must(t, err)
	r := l.receiver(t, 1)
	must(t, p.Register(1, r.fd))
	kernel := l.listen(t, testPort)
	const n = 64
	for i := range n {
		l.send(t, our4(), testPort, fmt.Sprintf("number %02d", i))
	}
	var c Counts
	testutil.Eventually(t, 20*time.Second, "all counted", func() (err error) {
		if c, err = p.Counts(); err == nil && c[Redirected]+c[PassNoSocket] != n {
			err = fmt.Errorf("counters: %v", c)
		}
		return err
	})
	if c[Redirected] == 0 || c[PassNoSocket] == 0 {
		t.Fatalf("one queue got everything: %v", c)
	}
	seen := make(map[string]bool)
	for range c[PassNoSocket] {
		seen[receive(t, kernel)] = true
	}
	for range c[Redirected] {
		frame := r.receive(t)
		seen[string(frame[max(0, len(frame)-len("number 00")):])] = true
	}
	for i := range n {
		if text := fmt.Sprintf("number %02d", i); !seen[text] {
			t.Errorf("%s is missing", text)
		}
	}
}

// TestFallback has an MTU on the far end for which veth refuses native mode.
func TestFallback(t *testing.T) {
	testutil.LeakCheck(t)
	l := newLab(t, 1)
	l.far.Run(func() {
		far, err := netlink.LinkByName("far")
		must(t, err)
		must(t, netlink.LinkSetMTU(far, 9000))
	})
	p := load(t, nil)
	if _, refusals, err := l.attach(p, ModeNative); err == nil || len(refusals) != 1 || !errors.Is(err, unix.ERANGE) {
		t.Fatalf("native with a large MTU: %v, %v", refusals, err)
	}
	used, refusals, err := l.attach(p, ModeAuto)
	if err != nil || used != ModeGeneric || !p.Attached() {
		t.Fatalf("auto: %v, %v, attached %v", used, err, p.Attached())
	}
	if len(refusals) != 1 || refusals[0].Mode != ModeNative || !strings.Contains(refusals[0].Error(), "MTU") {
		t.Errorf("refusals: %v", refusals)
	}
	if _, _, err := l.attach(p, ModeAuto); err != ErrAttached {
		t.Errorf("second Attach: %v", err)
	}
	if _, _, err := load(t, nil).Attach(1<<30, ModeAuto); !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.EINVAL) {
		t.Errorf("no such interface: %v", err)
	}
}

// TestForeignProgram finds the interface taken, and lets the other be.
func TestForeignProgram(t *testing.T) {
	l := newLab(t, 1)
	theirs, ours := load(t, nil), load(t, nil)
	_, _, err := l.attach(theirs, ModeNative)
	must(t, err)
	if _, refusals, err := l.attach(ours, ModeAuto); err == nil || len(refusals) != 2 || !strings.Contains(err.Error(), "another XDP program") {
		t.Fatalf("%v, %v", refusals, err)
	}
	if name, err := NameOf(l.programID(t)); err != nil || name != ProgramName {
		t.Errorf("the interface's program is %q, %v", name, err)
	}
	if name, err := NameOf(1<<32 - 2); !errors.Is(err, unix.ENOENT) {
		t.Errorf("no such program: %q, %v", name, err)
	}
	if !theirs.Attached() || ours.Attached() {
		t.Errorf("attached: theirs %v, ours %v", theirs.Attached(), ours.Attached())
	}
}

// TestTakenAway has others interfere: Attached notices, and Attach repairs where
// that is possible.
func TestTakenAway(t *testing.T) {
	testutil.LeakCheck(t)
	l := newLab(t, 1)
	p := load(t, &Options{Port: testPort, Addresses: []netip.Addr{our4()}})
	reattach := func() {
		t.Helper()
		if p.Attached() {
			t.Fatal("not noticed")
		}
		_, _, err := l.attach(p, ModeNative)
		must(t, err)
		if !p.Attached() || l.programID(t) != uint32(p.id) {
			t.Fatalf("attached %v, program %d", p.Attached(), l.programID(t))
		}
	}
	reattach()
	// netlink cannot remove it.
	l.near.Run(func() {
		near, err := netlink.LinkByName("near")
		must(t, err)
		if err := netlink.LinkSetXdpFd(near, -1); err == nil {
			t.Error("netlink removed a program that a BPF link holds")
		}
	})
	if !p.Attached() {
		t.Fatal("gone")
	}
	// Somebody detaches the link.
	must(t, p.link.Detach())
	reattach()
	// Somebody puts another program behind the link.
	other, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "MIT", Instructions: asm.Instructions{
		asm.Mov.Imm(asm.R0, xdpPass), asm.Return(),
	}})
	must(t, err)
	defer other.Close()
	must(t, p.link.Update(other))
	reattach()
	// The interface goes.
	l.near.Run(func() {
		near, err := netlink.LinkByName("near")
		must(t, err)
		must(t, netlink.LinkDel(near))
	})
	if p.Attached() {
		t.Error("attached to an interface that is gone")
	}
	if _, _, err := l.attach(p, ModeAuto); err == nil || p.Attached() {
		t.Errorf("attached to an interface that is gone: %v", err)
	}
}

// helperVariable has the index of the interface that the child process attaches to.
const helperVariable = "REDIRECT_TEST_IFINDEX"

// TestKilled kills a process that has the program attached.
func TestKilled(t *testing.T) {
	if index := os.Getenv(helperVariable); index != "" {
		attachAndWait(t, index)
		return
	}
	l := newLab(t, 1)
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), helperVariable+"="+strconv.Itoa(l.ifindex))
	stdin, err := cmd.StdinPipe()
	must(t, err)
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	l.near.Run(func() { must(t, cmd.Start()) })
	said := make([]byte, len("attached"))
	if _, err := stdout.Read(said); err != nil || string(said) != "attached" {
		t.Errorf("child: %q, %v", said, err)
	}
	if l.programID(t) == 0 {
		t.Error("the child has attached nothing")
	}
	must(t, cmd.Process.Kill())
	if err := cmd.Wait(); err == nil {
		t.Error("the child was not killed")
	}
	// The kernel frees the link after the process.
	testutil.Eventually(t, 20*time.Second, "program gone", func() error {
		if id := l.programID(t); id != 0 {
			return fmt.Errorf("program %d outlived its process", id)
		}
		return nil
	})
}

// attachAndWait is the child.
func attachAndWait(t *testing.T, index string) {
	ifindex, err := strconv.Atoi(index)
	must(t, err)
	p := load(t, nil)
	_, _, err = p.Attach(ifindex, ModeAuto)
	must(t, err)
	os.Stdout.WriteString("attached")
	os.Stdin.Read(make([]byte, 1)) // until killed, or the parent is gone
}
