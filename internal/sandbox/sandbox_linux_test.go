// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package sandbox

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/tunwrap"
)

func TestIsChild(t *testing.T) {
	for _, args := range [][]string{nil, {"router"}, {"router", "up", childArgument}, {childArgument}} {
		if IsChild(args) {
			t.Errorf("IsChild(%q)", args)
		}
	}
	if !IsChild([]string{"router", childArgument}) {
		t.Error("a child is not known")
	}
	if len(childArgument) < unix.IFNAMSIZ {
		t.Errorf("%q could be an interface's name", childArgument)
	}
}

// TestChildByHand: somebody calls the program as the router calls it.
func TestChildByHand(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, args := range [][]string{{"router", childArgument}, {"router", childArgument, "x", "true"}, {"router", childArgument, "-1", "true"}} {
		if code := Child(args, nil, file); code != exitFailure {
			t.Errorf("%q: exit status %d", args, code)
		}
	}
	text, err := os.ReadFile(file.Name())
	if err != nil || strings.Count(string(text), "own use") != 3 {
		t.Errorf("printed %q, %v", text, err)
	}
}

func Test_candidates(t *testing.T) {
	for _, tt := range []struct {
		name, path string
		want       []string
	}{
		{"ls", "/bin:/usr/bin", []string{"/bin/ls", "/usr/bin/ls"}},
		{"ls", "", []string{"./ls"}},
		{"ls", ":/bin:", []string{"./ls", "/bin/ls", "./ls"}},
		{"ls", "tools", []string{"tools/ls"}},
		{"./ls", "/bin", []string{"./ls"}},
		{"/bin/ls", "/usr/bin", []string{"/bin/ls"}},
		{"", "/bin", nil},
	} {
		if got := candidates(tt.name, []string{"HOME=/", "PATH=" + tt.path}); !slices.Equal(got, tt.want) {
			t.Errorf("candidates(%q) with PATH %q: %q, want %q", tt.name, tt.path, got, tt.want)
		}
	}
	if got, want := candidates("ls", nil), []string{"/bin/ls", "/usr/bin/ls"}; !slices.Equal(got, want) {
		t.Errorf("without PATH: %q, want %q", got, want)
	}
}

func Test_follow(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.MkdirAll(at("real/folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at("real/file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, link := range map[string]string{
		"by-name": at("real/file"), "relative": "real/file", "twice": "relative", "folder": "real/folder",
		"through": "folder/../missing", "dangling": "/nowhere/at/all", "loop": "loop",
	} {
		if err := os.Symlink(link, at(name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"real/file": at("real/file"), "by-name": at("real/file"), "relative": at("real/file"), "twice": at("real/file"),
		"folder/new": at("real/folder/new"), "dangling": "/nowhere/at/all", "loop": at("loop"), "absent": at("absent"),
	} {
		if got := follow(at(name)); got != want {
			t.Errorf("follow(%s): %s, want %s", name, got, want)
		}
	}
}

func Test_remedyFor(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text + "\n")} }
	open := fstest.MapFS{
		"user/max_user_namespaces":                     file("1000"),
		"user/max_net_namespaces":                      file("1000"),
		"kernel/unprivileged_userns_clone":             file("1"),
		"kernel/apparmor_restrict_unprivileged_userns": file("0"),
	}
	with := func(name, text string) fs.FS {
		m := fstest.MapFS{name: file(text)}
		for n, f := range open {
			if n != name {
				m[n] = f
			}
		}
		return m
	}
	for _, tt := range []struct {
		name   string
		err    error
		userNS bool
		sysctl fs.FS
		want   string
	}{
		{"none left", unix.ENOSPC, true, open, "raise sysctl user.max_user_namespaces"},
		{"too deep", unix.EUSERS, true, open, "end some"},
		{"no user namespaces", unix.ENOSPC, true, with("user/max_user_namespaces", "0"), "set sysctl user.max_user_namespaces=1000"},
		{"not needed", unix.EPERM, false, with("user/max_user_namespaces", "0"), "does not let root"},
		{"no network namespaces", unix.ENOSPC, false, with("user/max_net_namespaces", "0"), "user.max_net_namespaces=1000"},
		{"debian", unix.EPERM, true, with("kernel/unprivileged_userns_clone", "0"), "kernel.unprivileged_userns_clone=1"},
		{"ubuntu", unix.EACCES, true, with("kernel/apparmor_restrict_unprivileged_userns", "1"), "kernel.apparmor_restrict_unprivileged_userns=0"},
		{"container", unix.EPERM, true, open, "docker run"},
		{"no settings", unix.EPERM, true, fstest.MapFS{}, "docker run"},
	} {
		got := remedyFor(tt.err, tt.userNS, tt.sysctl)
		if !strings.Contains(got, tt.want) || !strings.HasSuffix(got, instead) || strings.Contains(got, "\n") {
			t.Errorf("%s: %q, want %q and then %q", tt.name, got, tt.want, instead)
		}
	}
}

func Test_withRemedy(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string // Remedy begins with it
	}{
		{&Error{Op: "mount /", Err: unix.EPERM}, "the system refuses"},
		{unix.EACCES, "the system refuses"},
		{&Error{Op: "mount /", Err: unix.EPERM, Remedy: "another one"}, "another one"},
		{errors.New("of another kind"), ""},
		{deviceError(&tunwrap.CreateError{Name: "wg0", Err: &fs.PathError{Err: unix.ENOENT}, Remedy: "run as root"}), "load the kernel module"},
		{deviceError(&tunwrap.CreateError{Name: "wg0", Err: &fs.PathError{Err: unix.EACCES}, Remedy: "run as root"}), "make it usable"},
		{deviceError(&tunwrap.CreateError{Name: "wg0", Err: unix.EPERM, Remedy: "run as root"}), "the system refuses"},
		{deviceError(&tunwrap.CreateError{Name: "wg/0", Err: unix.EINVAL, Remedy: "use another name"}), "use another name"},
	} {
		got, ok := errors.AsType[*Error](withRemedy(tt.err, true, fstest.MapFS{}))
		if !ok || !strings.HasPrefix(got.Remedy, tt.want) || (got.Remedy == "") != (tt.want == "") {
			t.Errorf("%v: remedy %q, want %q", tt.err, got.Remedy, tt.want)
		}
	}
}

func Test_recorder(t *testing.T) {
	var got []string
	log := slog.New(&recorder{into: &got}).With("who", "x")
	log.Info("not this")
	log.WithGroup("g").Warn("doubtful", "err", "y z")
	log.Error("wrong")
	if want := []string{"doubtful who=x err=y z", "wrong who=x"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// pair returns both ends of a connection.
func pair(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		c, err := net.FileConn(f)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		conns[i] = c.(*net.UnixConn)
	}
	return conns[0], conns[1]
}

// TestMessages: an answer and the most descriptors arrive as they were sent.
func TestMessages(t *testing.T) {
	testutil.LeakCheck(t)
	a, b := pair(t)
	files := make([]*os.File, maxQueues)
	for i := range files {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	want := &answer{Warnings: []string{"one\nof two lines", "two"}, Op: "mount", Err: "no", Remedy: "yes"}
	sent := make(chan error, 1)
	go func() { sent <- send(a, want, files) }()
	got, queues, err := receive(b)
	defer closeAll(queues)
	if err := errors.Join(err, <-sent); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) || len(queues) != maxQueues {
		t.Errorf("got %+v with %d descriptors, want %+v with %d", got, len(queues), want, maxQueues)
	}
	for _, q := range queues {
		flags, err := unix.FcntlInt(q.Fd(), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Fatalf("descriptor %d: flags %#x, %v; programs would get it", q.Fd(), flags, err)
		}
	}
}

// TestMessagesEnd: the other end closes, or says something else.
func TestMessagesEnd(t *testing.T) {
	testutil.LeakCheck(t)
	for _, tt := range []struct {
		name, text string
		want       error
	}{
		{"nothing", "", io.ErrUnexpectedEOF},
		{"half a line", `{"Op":`, io.ErrUnexpectedEOF},
		{"no JSON", "hello\n", nil},
	} {
		a, b := pair(t)
		if _, err := a.Write([]byte(tt.text)); err != nil {
			t.Fatal(err)
		}
		a.Close()
		if _, _, err := receive(b); err == nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// TestSetupText: everything that a network has arrives in the child.
func TestSetupText(t *testing.T) {
	want := Network{
		Interface: "wg0", MTU: 1420, Queues: 3, TxQueueLen: 500,
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")},
		Routes:    []netip.Prefix{netip.MustParsePrefix("::/0")},
		DNS:       []netip.Addr{netip.MustParseAddr("fd00::1")}, DNSSearch: []string{"example.com"},
	}
	a, b := pair(t)
	if err := send(a, &setup{Parent: 7, UserNS: true, Network: want}, nil); err != nil {
		t.Fatal(err)
	}
	var got setup
	if err := json.NewDecoder(b).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.Parent != 7 || !got.UserNS || !reflect.DeepEqual(got.Network, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
