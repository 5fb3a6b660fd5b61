// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
	"golang.org/x/sys/unix"
)

// The tests of this file hold the router to the command line of wireguard-go,
// in a single host, or between
//
//	a (the router) eth0 ── veth ── eth0 b (a peer)

// daemonize runs the program without -f and returns the device when the command
// has returned.
func daemonize(t *testing.T, h *lab.Host, im lab.Implementation, name string, env ...string) *lab.Device {
	t.Helper()
	r := h.Exec(lab.Command{Path: im.Path, Args: []string{name}, Env: env})
	if r.Code != 0 {
		t.Fatalf("%s %s: exit code %d\n%s%s", im.Name, name, r.Code, r.Stdout, r.Stderr)
	}
	// The interface and the socket are there already: wg-quick goes on at once.
	if !h.HasLink(name) {
		t.Errorf("no interface %s when the command returned", name)
	}
	d := &lab.Device{Host: h, Name: name}
	if status := d.Status(); len(status.Peers) != 0 {
		t.Errorf("new device has peers: %v", status.Peers)
	}
	return d
}

// wantGone waits until a device and the processes of its host are gone, and
// fails the test if they left something behind.
func wantGone(t *testing.T, h *lab.Host, before string) {
	t.Helper()
	lab.Wait(t, lab.Patience, "everything is as before", func() error {
		if diff := lab.Diff(before, h.Snapshot()); diff != "" {
			return fmt.Errorf("before and after differ:\n%s", diff)
		}
		return nil
	})
}

// TestDaemon starts the program as wg-quick does and ends it in every way that
// ends wireguard-go.
func TestDaemon(t *testing.T) {
	self := subject(t)
	signal := func(sig syscall.Signal) func(*testing.T, *lab.Device) {
		return func(t *testing.T, d *lab.Device) {
			for _, pid := range d.Host.Processes() {
				if err := syscall.Kill(pid, sig); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for name, end := range map[string]func(*testing.T, *lab.Device){
		"SIGTERM":               signal(syscall.SIGTERM),
		"SIGINT":                signal(syscall.SIGINT),
		"deletion of interface": func(t *testing.T, d *lab.Device) { d.Host.DelLink(d.Name) },
		"deletion of socket":    func(t *testing.T, d *lab.Device) { d.DeleteSocket() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := lab.NewHost(t, "a")
			before := h.Snapshot()
			d := daemonize(t, h, self, "wg0")
			if n := len(h.Processes()); n != 1 {
				t.Errorf("%d processes, want one", n)
			}
			dir, err := os.Stat(h.Path("/run/wireguard"))
			if err != nil || dir.Mode().Perm() != 0o755 {
				t.Errorf("directory of the socket: %v, %v; want mode 755", dir.Mode(), err)
			}
			if socket, err := os.Stat(d.Socket()); err != nil || socket.Mode().Perm()&0o077 != 0 {
				t.Errorf("socket: %v, %v; want no access for others", socket.Mode(), err)
			}
			end(t, d)
			wantGone(t, h, before)
			// And it can start again.
			daemonize(t, h, self, "wg0")
		})
	}
}

// TestForeground runs the program in the foreground, by option and by
// environment.
func TestForeground(t *testing.T) {
	self := subject(t)
	for _, c := range []lab.Command{
		{Path: self.Path, Args: []string{"-f", "wg0"}},
		{Path: self.Path, Args: []string{"--foreground", "wg0"}},
		{Path: self.Path, Args: []string{"wg0"}, Env: []string{"WG_PROCESS_FOREGROUND=1"}},
	} {
		t.Run(strings.Join(append(c.Args, c.Env...), " "), func(t *testing.T) {
			t.Parallel()
			h := lab.NewHost(t, "a")
			before := h.Snapshot()
			p := h.Start(c)
			d := &lab.Device{Host: h, Name: "wg0", Process: p}
			d.WaitReady()
			if code := p.Stop(); code != 0 {
				t.Errorf("exit code %d after SIGTERM, want 0", code)
			}
			wantGone(t, h, before)
		})
	}
}

// TestSecondStart starts the program twice with one name, and with the name of
// an interface of another kind: the second fails and disturbs nothing.
func TestSecondStart(t *testing.T) {
	self := subject(t)
	t.Parallel()
	n := lab.TwoHosts(1500).Build(t)
	h := n.Host("a")
	for _, name := range []string{"wg0", "eth0"} {
		if name == "wg0" {
			daemonize(t, h, self, name)
		}
		before := h.Snapshot()
		r := h.Exec(lab.Command{Path: self.Path, Args: []string{name}})
		if r.Code == 0 {
			t.Errorf("%s: exit code 0, want a failure", name)
		}
		if self.Name == lab.RouterName && !strings.Contains(r.Stderr, name) {
			t.Errorf("%s: message %q does not name the interface", name, r.Stderr)
		}
		wantGone(t, h, before)
	}
	d := &lab.Device{Host: h, Name: "wg0"}
	d.Set(fmt.Sprintf("private_key=%s\n", lab.NewKey().Hex()))
}

// TestStaleSocket leaves a socket that nobody listens on: it is replaced.
func TestStaleSocket(t *testing.T) {
	self := subject(t)
	t.Parallel()
	h := lab.NewHost(t, "a")
	if err := os.MkdirAll(h.Path("/run/wireguard"), 0o755); err != nil {
		t.Fatal(err)
	}
	l := must(net.ListenUnix("unix", &net.UnixAddr{Name: h.Path(lab.SocketPath("wg0"))}))(t)
	l.SetUnlinkOnClose(false)
	l.Close()
	daemonize(t, h, self, "wg0")
}

// TestKill kills the program under traffic and starts it again: traffic is back
// before a handshake would be repeated.
func TestKill(t *testing.T) {
	self := subject(t)
	t.Parallel()
	n := lab.TwoHosts(1500).Build(t)
	a, b := n.Host("a"), n.Host("b")
	tun := lab.StartTunnel(lab.TunnelOptions{
		A: self, HostA: a, OuterA: lab.A4,
		B: implementation(t, lab.UpstreamName), HostB: b, OuterB: lab.B4,
	})
	for range 3 {
		traffic.WaitPing(t, a, lab.TunnelB4)
		tun.A.Process.Kill()
		if a.HasLink("wg0") {
			lab.Wait(t, lab.Patience, "interface goes", func() error {
				if a.HasLink("wg0") {
					return errors.New("it is there")
				}
				return nil
			})
		}
		tun.A = lab.StartDevice(a, self, lab.DeviceOptions{
			PrivateKey: tun.A.PrivateKey, Addresses: []string{lab.TunnelA4.String() + "/24", lab.TunnelA6.String() + "/64"},
			Peers: []lab.Peer{{PublicKey: tun.B.PublicKey(), Endpoint: outerPort(lab.B4), AllowedIPs: []string{"10.77.0.2/32", "fd77::2/128"}}},
		})
	}
	traffic.WaitPing(t, a, lab.TunnelB4)
	wantPings(t, a, b)
}

// TestDescriptors hands the TUN device and the control socket to the program as
// open files, the device with and without offload headers.
func TestDescriptors(t *testing.T) {
	self := subject(t)
	for name, flags := range map[string]uint16{"plain": 0, "with offload headers": unix.IFF_VNET_HDR} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			descriptors(t, self, flags)
		})
	}
}

func descriptors(t *testing.T, self lab.Implementation, flags uint16) {
	n := lab.TwoHosts(1500).Build(t)
	a, b := n.Host("a"), n.Host("b")
	if err := os.MkdirAll(a.Path("/run/wireguard"), 0o755); err != nil {
		t.Fatal(err)
	}
	listener := must(net.ListenUnix("unix", &net.UnixAddr{Name: a.Path(lab.SocketPath("wg0"))}))(t)
	listener.SetUnlinkOnClose(false)
	socket := must(listener.File())(t)
	listener.Close()
	defer socket.Close()
	tun := must(openTUN(a, "wg0", flags))(t)
	defer tun.Close()

	p := a.Start(lab.Command{
		Path: self.Path, Args: []string{"-f", "wg0"}, Files: []*os.File{tun, socket},
		Env: []string{"WG_TUN_FD=3", "WG_UAPI_FD=4", "LOG_LEVEL=debug"},
	})
	d := &lab.Device{Host: a, Name: "wg0", PrivateKey: lab.NewKey(), Process: p}
	d.WaitReady()
	peer := lab.StartDevice(b, implementation(t, lab.UpstreamName), lab.DeviceOptions{
		Addresses: []string{lab.TunnelB4.String() + "/24"},
		Peers:     []lab.Peer{{PublicKey: d.PublicKey(), Endpoint: outerPort(lab.A4), AllowedIPs: []string{"10.77.0.1/32"}}},
	})
	d.Set(fmt.Sprintf("private_key=%s\nlisten_port=%d\n", d.PrivateKey.Hex(), lab.Port))
	d.SetPeer(lab.Peer{PublicKey: peer.PublicKey(), Endpoint: outerPort(lab.B4), AllowedIPs: []string{"10.77.0.2/32"}})
	a.SetMTU("wg0", 1420)
	a.AddAddress("wg0", lab.TunnelA4.String()+"/24")
	a.SetUp("wg0")
	traffic.WaitPing(t, a, lab.TunnelB4)
	if r := must(traffic.TCP(b, a, lab.TunnelA4, 1<<20))(t); r.Received < 2<<20 {
		t.Errorf("TCP carried %d bytes", r.Received)
	}
}

// openTUN makes a TUN device in the host, as a program that starts ours would.
func openTUN(h *lab.Host, name string, flags uint16) (f *os.File, err error) {
	err = h.Do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		ifr, err := unix.NewIfreq(name)
		if err == nil {
			ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | flags)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
		}
		if err != nil {
			unix.Close(fd)
			return err
		}
		f = os.NewFile(uintptr(fd), "/dev/net/tun")
		return nil
	})
	return f, err
}

// TestMoveInterface moves the interface to another namespace, which has no
// other: its packets go out through the namespace where the program runs.
//
//	c wg0  ┄┄  a (the router) eth0 ── veth ── eth0 b (a peer)
func TestMoveInterface(t *testing.T) {
	self := subject(t)
	t.Parallel()
	n := lab.TwoHosts(1500).Build(t)
	a, b, c := n.Host("a"), n.Host("b"), lab.NewHost(t, "c")
	tun := lab.StartTunnel(lab.TunnelOptions{
		A: self, HostA: a, OuterA: lab.A4,
		B: implementation(t, lab.UpstreamName), HostB: b, OuterB: lab.B4,
	})
	traffic.WaitPing(t, a, lab.TunnelB4)
	a.MoveLink("wg0", c)
	c.AddAddress("wg0", lab.TunnelA4.String()+"/24")
	c.AddAddress("wg0", lab.TunnelA6.String()+"/64")
	c.SetUp("wg0")
	traffic.WaitPing(t, c, lab.TunnelB4)
	wantPings(t, c, b)
	if !tun.A.Process.Running() {
		t.Error("the program ended")
	}
	c.DelLink("wg0")
	if code := tun.A.Process.Wait(); code != 0 {
		t.Errorf("exit code %d after the interface was deleted, want 0", code)
	}
}
