// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Dir is where [Find] looks for the configuration of an interface name.
const Dir = "/etc/wireguard"

// extension ends the name of every configuration file.
const extension = ".conf"

// maxName is the longest interface name of Linux: IFNAMSIZ less the final zero.
const maxName = 15

// ValidName reports whether name can be an interface name: 1 to 15 letters,
// digits and the marks _ = + . - as in wg-quick, other than . and .. which no
// kernel takes.
func ValidName(name string) bool {
	if name == "" || len(name) > maxName || name == "." || name == ".." {
		return false
	}
	return strings.IndexFunc(name, func(r rune) bool {
		return !isLetter(r) && (r < '0' || r > '9') && !strings.ContainsRune("_=+.-", r)
	}) < 0
}

// Find returns the path of a configuration: nameOrPath itself when it has a
// directory, otherwise [Dir]/NAME.conf, and when that does not exist a file of this
// name here. The error wraps [fs.ErrNotExist] and says where it looked.
func Find(nameOrPath string) (string, error) { return find(Dir, nameOrPath) }

func find(dir, nameOrPath string) (string, error) {
	if strings.ContainsRune(nameOrPath, filepath.Separator) || strings.ContainsRune(nameOrPath, '/') {
		return nameOrPath, nil
	}
	var looked []string
	here := strings.HasSuffix(nameOrPath, extension)
	if ValidName(nameOrPath) {
		path := filepath.Join(dir, nameOrPath+extension)
		// Where nobody else may look, a file here that was named in full is meant.
		if _, err := os.Stat(path); err == nil || !errors.Is(err, fs.ErrNotExist) && !(here && !missing(nameOrPath)) {
			return path, nil
		}
		looked = append(looked, path)
	}
	if here {
		if !missing(nameOrPath) {
			return nameOrPath, nil
		}
		looked = append(looked, nameOrPath)
	}
	if len(looked) == 0 {
		return "", fmt.Errorf("find configuration %q: %w: neither an interface name of 1 to %d letters and digits nor a .conf file",
			nameOrPath, fs.ErrNotExist, maxName)
	}
	return "", fmt.Errorf("find configuration %s: %w: looked for %s; create it or give the path of a .conf file",
		nameOrPath, fs.ErrNotExist, strings.Join(looked, " and "))
}

// missing reports whether path is known not to exist. One that may not be looked
// at is left to Load, whose error says so.
func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// Load reads the file at path, which must be called NAME.conf with a [ValidName];
// NAME is the name of the interface. Problems are reported under path. A file that
// everybody may read, and so the keys in it, is a warning. The error is an
// [*Error], or wraps that of the file system and says what to do.
//
// [Interface] and [Peer] of a file with WGConfig come from that file. Paths in the file
// are relative to its folder, symbolic links resolved; where nothing is there, to the
// working directory.
func Load(path string) (*Config, error) { return LoadWith(path, nil) }

// LoadWith is [Load] with options; nil stands for the zero LoadOptions.
func LoadWith(path string, o *LoadOptions) (*Config, error) {
	name, isConf := strings.CutSuffix(filepath.Base(path), extension)
	if !isConf || !ValidName(name) {
		return nil, &Error{Problems: []Problem{{
			File:    path,
			Message: fmt.Sprintf("file name %q does not give the interface name", filepath.Base(path)),
			Hint:    fmt.Sprintf("call it NAME.conf, NAME being 1 to %d of the characters a-z A-Z 0-9 _ = + . -", maxName),
		}}}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("load configuration: %w%s", err, remedy(err))
	}
	defer f.Close()
	cfg, err := parse(f, path, filepath.Dir(resolved(path)), o)
	if err != nil {
		return nil, err
	}
	cfg.Name = name
	cfg.Path = resolved(path)
	if w, ok := checkMode(f, path, cfg.Path); ok {
		cfg.Warnings = slices.Insert(cfg.Warnings, 0, w)
	}
	return cfg, nil
}

// remedy says what helps against a file system error.
func remedy(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "; create it or give another path"
	case errors.Is(err, fs.ErrPermission):
		return "; run as root or as the owner of the file"
	}
	return ""
}

// resolved returns path without symbolic links, absolute where possible.
func resolved(path string) string {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return path
}

// checkMode warns when f, whose directory is that of target, can be read or written by
// everybody. A directory that others cannot pass protects its files, as in wg-quick.
func checkMode(f *os.File, path, target string) (Problem, bool) {
	if runtime.GOOS == "windows" { // the mode says nothing about access there
		return Problem{}, false
	}
	file, err := f.Stat()
	if err != nil || file.Mode().Perm()&0o006 == 0 {
		return Problem{}, false
	}
	dir, err := os.Stat(filepath.Dir(target))
	if err != nil || dir.Mode().Perm()&0o001 == 0 {
		return Problem{}, false
	}
	return Problem{
		File:    path,
		Message: fmt.Sprintf("everybody can access the keys in it (mode %04o)", file.Mode().Perm()),
		Hint:    "run chmod 600 " + path,
	}, true
}
