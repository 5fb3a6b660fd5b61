// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/config"
)

const smallest = "[Interface]\nPrivateKey = " + testPrivate + "\n"

// place writes a configuration with exactly this mode.
func place(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "home-net_1.x=+.conf")
	place(t, path, smallest, 0o600)
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "home-net_1.x=+" || c.Path != resolved {
		t.Errorf("Name, Path = %q, %q, want %q, %q", c.Name, c.Path, "home-net_1.x=+", resolved)
	}
	if len(c.Warnings) > 0 {
		t.Errorf("warnings:\n%s", lines(c.Warnings))
	}
}

// TestLoadRelative: Path does not depend on the working directory.
func TestLoadRelative(t *testing.T) {
	t.Chdir(t.TempDir())
	place(t, "wg0.conf", smallest, 0o600)
	c, err := config.Load("wg0.conf")
	if err != nil {
		t.Fatal(err)
	}
	if !filepath.IsAbs(c.Path) || filepath.Base(c.Path) != "wg0.conf" {
		t.Errorf("Path = %q", c.Path)
	}
}

// TestLoadAccess: as in wg-quick, a directory that others cannot pass protects a file.
func TestLoadAccess(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the mode says nothing about access there")
	}
	tests := []struct {
		name      string
		file, dir os.FileMode
		warns     bool
	}{
		{"private", 0o600, 0o755, false},
		{"group", 0o660, 0o755, false},
		{"everybody reads", 0o644, 0o755, true},
		{"everybody writes", 0o602, 0o755, true},
		{"everybody runs", 0o601, 0o755, false},
		{"private directory", 0o644, 0o700, false},
		{"unlisted directory", 0o644, 0o711, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "wg0.conf")
			place(t, path, smallest+"ListenPort = 1\nListenPort = 2\n", tt.file)
			if err := os.Chmod(dir, tt.dir); err != nil {
				t.Fatal(err)
			}
			c, err := config.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			if warned := len(c.Warnings) == 2; warned != tt.warns {
				t.Fatalf("warnings:\n%s", lines(c.Warnings))
			}
			if w := c.Warnings[0]; tt.warns && (w.Line != 0 || w.File != path || !strings.Contains(w.Hint, "chmod 600")) {
				t.Errorf("first warning: %s", w)
			}
		})
	}
}

func TestLoadErrors(t *testing.T) {
	dir := t.TempDir()
	place(t, filepath.Join(dir, "bad.conf"), "[Interface]\nMTU = x\n", 0o600)
	if err := os.Mkdir(filepath.Join(dir, "dir.conf"), 0o700); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, file string
		is         error // or an *Error
		contains   []string
	}{
		{"missing", "wg0.conf", fs.ErrNotExist, []string{"wg0.conf", "create it"}},
		{"mistake", "bad.conf", nil, []string{filepath.Join(dir, "bad.conf") + ":2: MTU", ":1: PrivateKey"}},
		{"no extension", "wg0", nil, []string{`"wg0"`, "NAME.conf"}},
		{"name too long", "a234567890123456.conf", nil, []string{"1 to 15"}},
		{"name with space", "my net.conf", nil, []string{"a-z A-Z 0-9"}},
		{"no name", ".conf", nil, []string{"a-z A-Z 0-9"}},
		{"dots", "...conf", nil, []string{"a-z A-Z 0-9"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := config.Load(filepath.Join(dir, tt.file))
			if err == nil || c != nil {
				t.Fatalf("Load = %v, %v, want an error", c, err)
			}
			var e *config.Error
			if tt.is != nil && !errors.Is(err, tt.is) || tt.is == nil && !errors.As(err, &e) {
				t.Errorf("Load = %T %v", err, err)
			}
			for _, part := range tt.contains {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not contain %q", err, part)
				}
			}
		})
	}
	t.Run("directory", func(t *testing.T) {
		if c, err := config.Load(filepath.Join(dir, "dir.conf")); err == nil || !strings.Contains(err.Error(), "dir.conf") {
			t.Errorf("Load = %v, %v", c, err)
		}
	})
}

func TestRemedy(t *testing.T) {
	for err, want := range map[error]string{
		fs.ErrNotExist:   "create it",
		fs.ErrPermission: "run as root",
	} {
		wrapped := &fs.PathError{Op: "open", Path: "wg0.conf", Err: err}
		if got := config.Remedy(wrapped); !strings.Contains(got, want) {
			t.Errorf("Remedy(%v) = %q, want %q", wrapped, got, want)
		}
	}
	if got := config.Remedy(fs.ErrClosed); got != "" {
		t.Errorf("Remedy(%v) = %q, want nothing", fs.ErrClosed, got)
	}
}

func TestFind(t *testing.T) {
	etc := t.TempDir()
	t.Chdir(t.TempDir())
	place(t, filepath.Join(etc, "wg0.conf"), smallest, 0o600)
	place(t, filepath.Join(etc, "both.conf.conf"), smallest, 0o600)
	for _, here := range []string{"here.conf", "both.conf", "a234567890123456.conf"} {
		place(t, here, smallest, 0o600)
	}
	tests := []struct{ arg, want string }{
		{"wg0", filepath.Join(etc, "wg0.conf")},
		{"./wg0", "./wg0"},
		{"/elsewhere/wg1.conf", "/elsewhere/wg1.conf"},
		{"here.conf", "here.conf"},
		{"both.conf", filepath.Join(etc, "both.conf.conf")}, // as in wg-quick
		{"a234567890123456.conf", "a234567890123456.conf"},  // Load says what is wrong with it
	}
	for _, tt := range tests {
		if got, err := config.FindIn(etc, tt.arg); err != nil || got != tt.want {
			t.Errorf("Find(%q) = %q, %v, want %q", tt.arg, got, err, tt.want)
		}
	}
	for arg, says := range map[string]string{
		"wg1":      filepath.Join(etc, "wg1.conf"),
		"wg1.conf": filepath.Join(etc, "wg1.conf.conf") + " and wg1.conf",
		"my net":   "neither an interface name",
		"":         "neither an interface name",
		"here":     filepath.Join(etc, "here.conf"),
	} {
		got, err := config.FindIn(etc, arg)
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), says) || got != "" {
			t.Errorf("Find(%q) = %q, %v, want an error with %q", arg, got, err, says)
		}
	}
	if _, err := config.Find("no-such-net"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Find(no-such-net) = %v", err)
	}
}

func TestValidName(t *testing.T) {
	for _, name := range []string{"wg0", "a", "_=+.-", "123456789012345", "...", "Zz9"} {
		if !config.ValidName(name) {
			t.Errorf("ValidName(%q) = false", name)
		}
	}
	for _, name := range []string{"", ".", "..", "1234567890123456", "a b", "a/b", "wg\n", "ä", "a:b", "a%b", "a\x00"} {
		if config.ValidName(name) {
			t.Errorf("ValidName(%q) = true", name)
		}
	}
}
