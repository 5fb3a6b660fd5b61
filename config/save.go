// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Save writes c to path, as [Config.WriteTo] does, readable by the owner only. The
// file is replaced as a whole or not at all, also when the power fails: the text
// goes to a temporary file beside it, to the disk, and takes its name.
// A symbolic link stays, what it points to is replaced.
func (c *Config) Save(path string) error {
	target, err := filepath.EvalSymlinks(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		target = path
	case err != nil:
		return fmt.Errorf("save %s: %w", path, err)
	}
	if err := c.replace(target); err != nil {
		return fmt.Errorf("save %s: %w", path, err)
	}
	return nil
}

// replace writes c to a new file that takes the place of target.
func (c *Config) replace(target string) (err error) {
	dir := filepath.Dir(target)
	f, err := os.CreateTemp(dir, ".*.conf.tmp") // mode 0600 whatever the umask
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = c.WriteTo(f)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), target); err != nil {
		return err
	}
	syncDir(dir)
	return nil
}

// syncDir makes a rename in dir durable. Not every system can; the file is in its
// place in any case.
func syncDir(dir string) {
	d, err := os.Open(dir)
	if err != nil {
		return
	}
	_ = d.Sync()
	_ = d.Close()
}
