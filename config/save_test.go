// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tunrouter/tunrouter/config"
)

// entries returns the names in dir.
func entries(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func TestSave(t *testing.T) {
	c := mustParse(t, readFile(t, "testdata/all.conf"))
	dir := t.TempDir()
	path := filepath.Join(dir, "wg0.conf")
	for _, before := range []string{"", "old text"} {
		if before != "" {
			if err := os.WriteFile(path, []byte(before), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Save(path); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o600 && runtime.GOOS != "windows" {
			t.Errorf("mode = %o, want 600", mode)
		}
		got, err := config.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if w := used(got.Warnings); len(w) > 0 {
			t.Errorf("warnings:\n%s", lines(w))
		}
		got.Name = ""
		if diff := cmp.Diff(c, got, same()); diff != "" {
			t.Errorf("loaded again (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"wg0.conf"}, entries(t, dir)); diff != "" {
			t.Errorf("files (-want +got):\n%s", diff)
		}
	}
}

// TestSaveThroughLink: the link stays and what it points to is replaced.
func TestSaveThroughLink(t *testing.T) {
	targets, links := t.TempDir(), t.TempDir()
	target, link := filepath.Join(targets, "target.conf"), filepath.Join(links, "wg0.conf")
	if err := os.WriteFile(target, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	c := mustParse(t, "[Interface]\nPrivateKey = "+testPrivate)
	if err := c.Save(link); err != nil {
		t.Fatal(err)
	}
	if got, err := os.Readlink(link); err != nil || got != target {
		t.Errorf("Readlink = %q, %v, want %q", got, err, target)
	}
	if got := readFile(t, target); got != written(t, c) {
		t.Errorf("target holds %q", got)
	}
	if diff := cmp.Diff([]string{"target.conf"}, entries(t, targets)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// TestSaveFailures: a Save that fails leaves everything as it was.
func TestSaveFailures(t *testing.T) {
	good := mustParse(t, "[Interface]\nPrivateKey = "+testPrivate)
	bad := mustParse(t, "[Interface]\nPrivateKey = "+testPrivate)
	bad.Interface.MTU = -1
	dir := t.TempDir()
	path := filepath.Join(dir, "wg0.conf")
	if err := os.WriteFile(path, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	var e *config.Error
	if err := bad.Save(path); !errors.As(err, &e) {
		t.Errorf("Save of a wrong Config = %v, want an *Error", err)
	}
	if got := readFile(t, path); got != "before" {
		t.Errorf("file holds %q", got)
	}
	if err := good.Save(filepath.Join(dir, "none", "wg0.conf")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Save to a missing directory = %v", err)
	}
	// A directory with something in it cannot be replaced by a file.
	full := filepath.Join(dir, "full.conf")
	if err := os.MkdirAll(filepath.Join(full, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := good.Save(full); err == nil {
		t.Error("Save over a directory succeeded")
	}
	if diff := cmp.Diff([]string{"full.conf", "wg0.conf"}, entries(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}
