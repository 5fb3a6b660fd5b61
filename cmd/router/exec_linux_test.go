// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tunrouter/tunrouter/internal/testutil"
)

// TestExec: what a command of a user without privileges finds.
func TestExec(t *testing.T) {
	l := newExecLab(t, "")
	testutil.NeedTool(t, "ping")
	t.Run("network", func(t *testing.T) {
		l := l.in(t)
		l.mustPrint("sed -n 's/ *\\(.*\\):.*/\\1/p' /proc/net/dev | sort", lines("client", "lo"))
		l.mustPrint(fmt.Sprintf("cat </dev/tcp/%s/%d", serverAddress, l.port), welcome)
		l.mustPrint("ip -o link show client | grep -oE '(mtu|qlen) [0-9]+'", lines("mtu 1420", "qlen 1000"))
		l.mustPrint("ip route show default; ip -6 route show default", lines("default dev client scope link ", "default dev client metric 1024 pref medium"))
	})
	t.Run("ping", func(t *testing.T) {
		l := l.in(t)
		for _, address := range []string{serverAddress, "fd09::2", "127.0.0.1", "::1"} {
			if out, stderr, code := l.shell("ping -c 1 -W 10 " + address); code != 0 || !strings.Contains(out, "1 received") {
				t.Errorf("ping %s: exit code %d\n%s%s", address, code, out, stderr)
			}
		}
	})
	t.Run("user", func(t *testing.T) {
		l := l.in(t)
		l.mustPrint("id -u; id -g; id -G", lines("65534", "65534", "65534"))
		l.mustPrint("grep -E '^Cap(Inh|Prm|Eff|Amb)' /proc/self/status | cut -f 2 | sort -u", lines("0000000000000000"))
		l.mustPrint("pwd; echo $HOME; ls -l /proc/self/fd | grep -c socket; true", lines(l.dir, os.Getenv("HOME"), "0"))
	})
	t.Run("names", func(t *testing.T) {
		l := l.in(t)
		l.mustPrint("cat /etc/resolv.conf", lines("nameserver 10.9.0.2", "nameserver fd09::2", "search example.test"))
		l.mustPrint("cd /run; find nscd avahi-daemon dbus systemd user -mindepth 1 | sort",
			lines("systemd/private", "systemd/resolve", "user/65534", "user/65534/bus"))
		l.mustPrint("touch /run/nscd/socket 2>/dev/null; umount /run/nscd 2>/dev/null; ls /run/nscd", "")
		if text, err := os.ReadFile(filepath.Join(l.etc, "resolv.conf")); err != nil || string(text) != "nameserver 192.0.2.53\n" {
			t.Errorf("resolv.conf of the host: %q, %v", text, err)
		}
		if _, err := os.Stat(filepath.Join(l.run, "nscd/socket")); err != nil {
			t.Error(err)
		}
	})
	t.Run("exit code", func(t *testing.T) {
		l := l.in(t)
		for _, tt := range []struct {
			command []string
			want    int
			stderr  string
		}{
			{[]string{"true"}, 0, ""},
			{[]string{"bash", "-c", "exit 3"}, 3, ""},
			{[]string{"bash", "-c", "kill -TERM $$"}, 128 + 15, ""},
			{[]string{"no-such-command"}, 127, "router: no-such-command: command not found\n"},
			{[]string{"./nowhere"}, 127, "router: ./nowhere: no such file or directory\n"},
			{[]string{"/etc/passwd"}, 126, "router: /etc/passwd: permission denied\n"},
			{[]string{"/etc"}, 126, "router: /etc: permission denied\n"},
		} {
			out, stderr, code := l.output(l.command(withTUN+asNobody, append([]string{"exec", l.config, "--"}, tt.command...)...))
			if code != tt.want || stderr != tt.stderr || out != "" {
				t.Errorf("%q: exit code %d, want %d; stderr %q, want %q; stdout %q", tt.command, code, tt.want, stderr, tt.stderr, out)
			}
		}
	})
	t.Run("streams", func(t *testing.T) {
		l := l.in(t)
		cmd := l.command(withTUN+asNobody, "exec", l.config, "--", "bash", "-c", "cat; cat <&7 >&2")
		cmd.Args[2] = strings.Replace(cmd.Args[2], "exec setpriv", "exec 7</etc/nsswitch.conf; exec setpriv", 1)
		cmd.Stdin = strings.NewReader("what is said")
		out, stderr, code := l.output(cmd)
		if out != "what is said" || stderr != "hosts: files dns\n" || code != 0 {
			t.Errorf("exit code %d, stdout %q, stderr %q", code, out, stderr)
		}
	})
}

// in is the lab for a subtest.
func (l *execLab) in(t *testing.T) *execLab {
	c := *l
	c.t = t
	return &c
}

// TestExecResolvConf: where the file of name servers can be.
func TestExecResolvConf(t *testing.T) {
	l := newExecLab(t, "")
	conf := filepath.Join(l.etc, "resolv.conf")
	for _, tt := range []struct{ name, link, warning string }{
		{"in a hidden folder", "../run/systemd/resolve/resolv.conf", ""},
		{"in a hidden folder, missing", "../run/systemd/resolve/later/resolv.conf", ""},
		{"elsewhere", "/run/elsewhere/resolv.conf", ""},
		{"in the folder used on the way", "/tmp/" + filepath.Base(l.dir) + "/run/elsewhere/resolv.conf", ""},
		{"missing", "/run/nowhere/resolv.conf", "create=/run/nowhere/resolv.conf"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := l.in(t)
			if err := os.Remove(conf); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(tt.link, conf); err != nil {
				t.Fatal(err)
			}
			if tt.warning == "" {
				l.mustPrint("head -n 1 /etc/resolv.conf; grep -c '^tmpfs /tmp ' /proc/mounts; true", lines("nameserver 10.9.0.2", "0"))
				return
			}
			if _, stderr, code := l.shell("test ! -e /etc/resolv.conf"); code != 0 || !strings.Contains(stderr, tt.warning) {
				t.Errorf("exit code %d, stderr %q, want %q", code, stderr, tt.warning)
			}
		})
	}
}

// TestExecWithoutDNS: the name servers of the host stay, its sockets do not.
func TestExecWithoutDNS(t *testing.T) {
	l := newExecLab(t, "PostUp = touch hook-has-run\n[Router]\nMode = netstack\n[Socks5]\nBindAddress = 127.0.0.1:0\n")
	text, err := os.ReadFile(l.config)
	if err != nil {
		t.Fatal(err)
	}
	plain := strings.Replace(string(text), "DNS = 10.9.0.2, fd09::2, example.test\n", "", 1)
	if err := os.WriteFile(l.config, []byte(plain), 0o600); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(l.etc, "resolv.conf")
	if err := os.Remove(conf); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/run/systemd/resolve/resolv.conf", conf); err != nil {
		t.Fatal(err)
	}
	out, stderr, code := l.shell("cat /etc/resolv.conf; ls /run/systemd/resolve /run/nscd")
	if want := "nameserver 127.0.0.53\n/run/nscd:\n\n/run/systemd/resolve:\nresolv.conf\n"; out != want || code != 0 {
		t.Errorf("exit code %d, output %q, want %q", code, out, want)
	}
	for _, want := range []string{"the file has no DNS", "mean nothing for a command\" ignored=PostUp", "proxies and forwards of the file are left out"} {
		if strings.Count(stderr, want) != 1 {
			t.Errorf("stderr without %q once:\n%s", want, stderr)
		}
	}
	if _, err := os.Stat(filepath.Join(l.dir, "hook-has-run")); err == nil {
		t.Error("a hook was run")
	}
}

// TestExecConfig: what cannot be done without a privilege, or makes no sense, is
// said, and the command runs.
func TestExecConfig(t *testing.T) {
	for _, tt := range []struct{ extra, want string }{
		{"FwMark = 7", "sent without FwMark"},
		{"Table = off", "ignored=Table"},
		{"Table = 1234", "ignored=Table"},
		{"MTU = 1400\n[Router]\nQueues = 1", ""},
		{"[Router]\nQueues = 255", "tun readers"}, // by wireguard-go, which makes room for them
	} {
		l := newExecLab(t, tt.extra)
		out, stderr, code := l.shell(fmt.Sprintf("cat </dev/tcp/%s/%d", serverAddress, l.port))
		if out != welcome || code != 0 || !strings.Contains(stderr, tt.want) || tt.want == "" && stderr != "" {
			t.Errorf("%q: exit code %d, output %q, stderr %q, want %q", tt.extra, code, out, stderr, tt.want)
		}
	}
}

// TestExecReach: without a default route there is nothing but what the peers may send.
func TestExecReach(t *testing.T) {
	l := newExecLab(t, "")
	text, err := os.ReadFile(l.config)
	if err != nil {
		t.Fatal(err)
	}
	narrow := strings.NewReplacer("0.0.0.0/0, ::/0", serverAddress+"/32", "10.9.0.1/24, fd09::1/64", clientAddress+"/32").Replace(string(text))
	if err := os.WriteFile(l.config, []byte(narrow), 0o600); err != nil {
		t.Fatal(err)
	}
	out, stderr, code := l.shell(fmt.Sprintf("cat </dev/tcp/%s/%d; exec 2>/dev/null; cat </dev/tcp/%s/%d || echo unreachable", serverAddress, l.port, serverOutside, l.port))
	if want := welcome + "unreachable\n"; out != want || code != 0 {
		t.Errorf("exit code %d, output %q, want %q", code, out, want)
	}
	if strings.Count(stderr, "out of the command's reach") != 1 || !strings.Contains(stderr, "server=fd09::2") {
		t.Errorf("stderr %q, want a warning for one name server", stderr)
	}
}

// TestExecRoot: root stays root, with all capabilities, in a network of its own.
func TestExecRoot(t *testing.T) {
	l := newExecLab(t, "")
	const caps = "grep ^Cap /proc/self/status; id; cat /proc/self/uid_map; readlink /proc/self/ns/user"
	want, err := exec.Command("bash", "-c", caps).Output()
	if err != nil {
		t.Fatal(err)
	}
	connect := fmt.Sprintf("; cat </dev/tcp/%s/%d; head -n 1 /etc/resolv.conf", serverAddress, l.port)
	out, stderr, code := l.output(l.command(asRoot, "exec", l.config, "--", "bash", "-c", caps+connect))
	if out != string(want)+welcome+"nameserver 10.9.0.2\n" || code != 0 {
		t.Errorf("exit code %d, stdout %q, want first %q, stderr:\n%s", code, out, want, stderr)
	}
	// Without CAP_SYS_ADMIN, as in a container, it is like everybody else.
	out, stderr, code = l.output(l.command(withTUN+asRoot+"setpriv --inh-caps=-all --bounding-set=-sys_admin ", "exec", l.config, "--", "bash", "-c",
		"id -u; grep CapEff /proc/self/status; umount /etc/resolv.conf 2>/dev/null"+connect))
	if want := "0\nCapEff:\t0000000000000000\n" + welcome + "nameserver 10.9.0.2\n"; out != want || code != 0 {
		t.Errorf("without CAP_SYS_ADMIN: exit code %d, stdout %q, want %q, stderr:\n%s", code, out, want, stderr)
	}
}

// TestExecSignals: signals to the router reach the command, ^C does not end the
// router, and neither outlives the other.
func TestExecSignals(t *testing.T) {
	// Under nohup(1) the command would ignore SIGHUP, as it should; caught here it has
	// its usual effect there.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	l := newExecLab(t, "")
	const wait = `readlink /proc/self/ns/net; while :; do sleep 0.05; done`
	for _, tt := range []struct {
		name, script string
		send         []syscall.Signal
		want         string
		code         int
	}{
		{"passed on", `trap "echo TERM; exit 5" TERM;` + wait, []syscall.Signal{syscall.SIGTERM}, "TERM\n", 5},
		{"hangup", `trap "echo HUP; exit 6" HUP;` + wait, []syscall.Signal{syscall.SIGHUP}, "HUP\n", 6},
		{"interrupt", `trap "echo TERM; exit 5" TERM;` + wait, []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM}, "TERM\n", 5},
		{"end by signal", wait, []syscall.Signal{syscall.SIGTERM}, "", 128 + 15},
		{"killed", `readlink /proc/self/ns/net; exec sleep 1000`, []syscall.Signal{syscall.SIGKILL}, "", -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := l.in(t)
			cmd := l.command(withTUN+asNobody, "exec", l.config, "--", "bash", "-c", tt.script)
			pipe, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			l.start(cmd)
			out := bufio.NewReader(pipe)
			ns, err := out.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range tt.send {
				if err := cmd.Process.Signal(s); err != nil {
					t.Fatal(err)
				}
			}
			rest, err := io.ReadAll(out) // ends when nobody has the pipe any more
			if err != nil || string(rest) != tt.want {
				t.Errorf("output %q, want %q, %v", rest, tt.want, err)
			}
			_ = cmd.Wait() // as the exit code says
			if code := cmd.ProcessState.ExitCode(); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			l.mustBeEmpty(strings.TrimSpace(ns))
		})
	}
}

// mustBeEmpty waits until no process is in a network namespace.
func (l *execLab) mustBeEmpty(ns string) {
	l.t.Helper()
	if !strings.HasPrefix(ns, "net:[") {
		l.t.Fatalf("not a network namespace: %q", ns)
	}
	testutil.Eventually(l.t, processTimeout, "namespace is empty", func() error {
		links, err := filepath.Glob("/proc/[0-9]*/task/*/ns/net")
		if err != nil {
			return err
		}
		for _, link := range links {
			if target, err := os.Readlink(link); err == nil && target == ns {
				return fmt.Errorf("%s is in it", link)
			}
		}
		return nil
	})
}

// TestExecControlSocket: there is one where it is asked for, and without it the
// command has no tunnel any more.
func TestExecControlSocket(t *testing.T) {
	l := newExecLab(t, "")
	sockets := filepath.Join(l.dir, "sockets")
	if err := os.Mkdir(sockets, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(sockets, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	cmd := l.command(withTUN+asNobody, "exec", "--socket-dir", "sockets", l.config, "--", "bash", "-c",
		`trap "echo TERM; exit 5" TERM; ls sockets; rm sockets/*; while :; do sleep 0.05; done`)
	out, stderr, code := l.output(cmd)
	if out != "client.sock\nTERM\n" || code != 5 || !strings.Contains(stderr, "tunnel has ended") {
		t.Errorf("exit code %d, output %q, stderr %q", code, out, stderr)
	}
}

// TestExecRefused: what the system refuses is said in two lines, with what helps.
func TestExecRefused(t *testing.T) {
	l := newExecLab(t, "")
	testutil.NeedTool(t, "unshare")
	// In a user namespace the limits are one's own; the second setpriv leaves root there
	// without what makes a user namespace needless.
	limited := func(limit string) string {
		return withTUN + `exec unshare -U -r bash -c 'echo 0 >/proc/sys/user/` + limit + ` && exec setpriv --inh-caps=-all --bounding-set=-sys_admin "$@"' bash `
	}
	for _, tt := range []struct{ name, prefix, want string }{
		{"no user namespaces", limited("max_user_namespaces"), "user.max_user_namespaces"},
		{"no network namespaces", limited("max_net_namespaces"), "user.max_net_namespaces"},
		{"no device", "mount -t tmpfs tmpfs /dev/net && " + asNobody, "modprobe tun"},
		{"device for root only", withTUN + "chmod 600 /dev/net/tun && " + asNobody, "chmod 0666 /dev/net/tun"},
		{"no TUN", `mount -t tmpfs tmpfs /dev/net && mknod -m 0666 /dev/net/tun c 10 254 && ` + asNobody, "modprobe tun"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if strings.Contains(tt.prefix, "unshare") {
				if err := os.Chown(l.config, 0, 0); err != nil {
					t.Fatal(err)
				}
				defer os.Chown(l.config, nobody, nobody)
			}
			out, stderr, code := l.in(t).output(l.command(tt.prefix, "exec", l.config, "--", "echo", "it runs"))
			if out != "" || code != 125 || !strings.HasPrefix(stderr, "router: ") || strings.Count(stderr, "\n") != 2 ||
				!strings.Contains(stderr, tt.want) || !strings.Contains(stderr, "Mode = netstack") {
				t.Errorf("exit code %d, output %q, want 125 and %q; stderr:\n%s", code, out, tt.want, stderr)
			}
		})
	}
}
