// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// Who runs "router exec" in the tests: a user without privileges.
const nobody = 65534

// serverKey is the private key of the server, testKey that of the client.
const serverKey = "SIYemfOtQh2xfE1mWGokTz+2vDSP+az55gHetCTpH2Q="

// Addresses in the tunnel and around it.
const (
	clientAddress = "10.9.0.1"
	serverAddress = "10.9.0.2"
	serverOutside = "192.0.2.2"
)

// welcome is what the server says to whoever connects.
const welcome = "hello through the tunnel\n"

// An execLab is two hosts: a router at the server, for which something listens, and
// "router exec" at the client.
type execLab struct {
	t        *testing.T
	client   *testutil.NS
	dir      string // everybody may read what is in it
	program  string
	config   string
	port     int    // of the server that greets
	etc, run string // stand for /etc and /run of the client
}

const clientConfig = `[Interface]
PrivateKey = %s
Address = 10.9.0.1/24, fd09::1/64
DNS = 10.9.0.2, fd09::2, example.test
%s
[Peer]
PublicKey = %s
Endpoint = 192.0.2.2:51820
AllowedIPs = 0.0.0.0/0, ::/0
`

const serverConfig = `[Interface]
PrivateKey = %s
ListenPort = 51820
Address = 10.9.0.2/24, fd09::2/64
[Peer]
PublicKey = %s
AllowedIPs = 10.9.0.1/32, fd09::1/128
`

// newExecLab returns a lab whose client has extra lines in its [Interface] section, and
// sections after it.
func newExecLab(t *testing.T, extra string) *execLab {
	t.Helper()
	server := newHost(t)
	testutil.NeedTool(t, "bash", "ip", "mount", "mknod", "setpriv")
	l := &execLab{t: t, client: testutil.NewNS(t), dir: shortDir(t)}
	if err := os.Chmod(l.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	l.program = filepath.Join(l.dir, "router")
	l.copyProgram()
	l.makeFolders()

	server.ip("link", "add", "out", "type", "veth", "peer", "name", "in", "netns", l.client.Path())
	server.ip("addr", "add", serverOutside+"/24", "dev", "out")
	server.ip("link", "set", "out", "up")
	l.ip("addr", "add", "192.0.2.1/24", "dev", "in")
	l.ip("link", "set", "in", "up")

	public := func(private string) config.Key {
		k, err := config.ParseKey(private)
		if err != nil {
			t.Fatal(err)
		}
		return k.Public()
	}
	l.config = writeConfig(t, l.dir, "client.conf", fmt.Sprintf(clientConfig, testKey, extra, public(serverKey)))
	if err := os.Chown(l.config, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	path := writeConfig(t, shortDir(t), "server.conf", fmt.Sprintf(serverConfig, serverKey, public(testKey)))
	up := program(t, "router", "up", path)
	up.Stderr = new(transcript)
	server.start(up)
	t.Cleanup(func() {
		if err := errors.Join(up.Process.Signal(syscall.SIGTERM), up.Wait()); err != nil {
			t.Errorf("router of the server: %v\n%s", err, up.Stderr)
		}
	})
	testutil.Eventually(t, processTimeout, "router of the server", func() error {
		if _, err := os.Stat(server.socket("server")); err != nil {
			return err
		}
		return server.ns.Do(func() (err error) { return l.greet(serverAddress + ":0") })
	})
	return l
}

// greet listens on an address of the server and says the welcome to everybody.
func (l *execLab) greet(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	l.port = listener.Addr().(*net.TCPAddr).Port
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, welcome) // the client says whether it got it
			c.Close()
		}
	}()
	l.t.Cleanup(func() { listener.Close(); <-done })
	return nil
}

// copyProgram copies the program to where everybody can start it.
func (l *execLab) copyProgram() {
	l.t.Helper()
	self, err := os.Executable()
	if err != nil {
		l.t.Fatal(err)
	}
	in, err := os.Open(self)
	if err != nil {
		l.t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(l.program, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		l.t.Fatal(err)
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		l.t.Fatal(err)
	}
}

// makeFolders makes an /etc and a /run of a system with all that is to be hidden.
func (l *execLab) makeFolders() {
	l.t.Helper()
	l.etc, l.run = filepath.Join(l.dir, "etc"), filepath.Join(l.dir, "run")
	for name, text := range map[string]string{
		"etc/resolv.conf":                     "nameserver 192.0.2.53\n",
		"etc/nsswitch.conf":                   "hosts: files dns\n",
		"run/nscd/socket":                     "",
		"run/avahi-daemon/socket":             "",
		"run/dbus/system_bus_socket":          "",
		"run/systemd/resolve/stub":            "",
		"run/systemd/resolve/resolv.conf":     "nameserver 127.0.0.53\n",
		"run/systemd/private":                 "",
		"run/user/65534/bus":                  "",
		"run/elsewhere/resolv.conf":           "nameserver 192.0.2.53\n",
		"run/nscd/folder/that/is/deep/socket": "",
	} {
		path := filepath.Join(l.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			l.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			l.t.Fatal(err)
		}
	}
	for _, name := range []string{"passwd", "group", "ld.so.cache"} {
		if text, err := os.ReadFile("/etc/" + name); err == nil {
			if err := os.WriteFile(filepath.Join(l.etc, name), text, 0o644); err != nil {
				l.t.Fatal(err)
			}
		}
	}
}

func (l *execLab) ip(args ...string) {
	l.t.Helper()
	l.client.Run(func() {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			l.t.Errorf("ip %v: %v: %s", args, err, out)
		}
	})
}

// asNobody and asRoot are shell commands before "$@", which is then run by whom they
// say; withTUN makes /dev/net/tun usable for everybody, as udev does.
const (
	asNobody = `exec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --ambient-caps=-all `
	asRoot   = `exec `
	withTUN  = `mount -t tmpfs tmpfs /dev/net && mknod -m 0666 /dev/net/tun c 10 200 && `
)

// command returns "router exec" with the arguments, on the client's host, run through a
// prefix of the above. It has a mount namespace of its own.
func (l *execLab) command(prefix string, args ...string) *exec.Cmd {
	l.t.Helper()
	script := fmt.Sprintf(`mount --bind %q /etc && mount --bind %q /run && `, l.etc, l.run)
	cmd := program(l.t, "bash", append([]string{"-c", script + prefix + `"$@"`, "bash", l.program}, args...)...)
	path, err := exec.LookPath("bash")
	if err != nil {
		l.t.Fatal(err)
	}
	cmd.Path = path
	cmd.Dir = l.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	return cmd
}

func (l *execLab) start(cmd *exec.Cmd) {
	l.t.Helper()
	if err := l.client.Do(cmd.Start); err != nil {
		l.t.Fatal(err)
	}
}

// output runs a command until it ends.
func (l *execLab) output(cmd *exec.Cmd) (stdout, stderr string, code int) {
	l.t.Helper()
	var out, errors transcript
	cmd.Stdout, cmd.Stderr = &out, &errors
	l.start(cmd)
	_ = cmd.Wait() // as the exit code says
	return out.String(), errors.String(), cmd.ProcessState.ExitCode()
}

// shell runs a shell script through the tunnel, as nobody.
func (l *execLab) shell(script string) (stdout, stderr string, code int) {
	l.t.Helper()
	return l.output(l.command(withTUN+asNobody, "exec", l.config, "--", "bash", "-c", script))
}

// mustPrint checks what a shell script prints through the tunnel, and that it prints
// nothing else.
func (l *execLab) mustPrint(script, want string) {
	l.t.Helper()
	out, stderr, code := l.shell(script)
	if out != want || stderr != "" || code != 0 {
		l.t.Errorf("%s: exit code %d, output %q, want %q; stderr:\n%s", script, code, out, want, stderr)
	}
}

// lines joins lines.
func lines(l ...string) string { return strings.Join(l, "\n") + "\n" }
