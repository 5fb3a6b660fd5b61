// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// The tables that exist without being named in a file (rtnetlink(7)).
const (
	tableDefault = 253
	tableMain    = 254
	tableLocal   = 255
)

// tableDirs are the directories iproute2 reads rt_tables from, the
// administrator's first (iproute2 6.x, lib/rt_names.c).
var tableDirs = [...]string{"etc/iproute2", "usr/share/iproute2", "usr/lib/iproute2"}

// resolve returns the number of the table with the given name or number. fsys is
// the root file system.
func resolveTable(fsys fs.FS, name string) (uint32, error) {
	if id, err := strconv.ParseUint(name, 0, 32); err == nil {
		return uint32(id), nil
	}
	for _, dir := range tableDirs {
		files := []string{path.Join(dir, "rt_tables")}
		more, err := fs.Glob(fsys, path.Join(dir, "rt_tables.d", "*.conf"))
		if err != nil {
			return 0, fmt.Errorf("table %s: %w", name, err)
		}
		for _, file := range append(files, more...) {
			id, ok, err := findTable(fsys, file, name)
			if err != nil {
				return 0, fmt.Errorf("table %s: %w", name, err)
			}
			if ok {
				return id, nil
			}
		}
	}
	switch name {
	case "default":
		return tableDefault, nil
	case "main":
		return tableMain, nil
	case "local":
		return tableLocal, nil
	}
	return 0, fmt.Errorf("table %q: neither a number nor a name in /etc/iproute2/rt_tables; "+
		"use a number, or add a line \"NUMBER %s\" there", name, name)
}

// findTable looks for name in one file, which need not exist.
func findTable(fsys fs.FS, file, name string) (uint32, bool, error) {
	f, err := fsys.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	tables, err := parseTables(f)
	id, ok := tables[name]
	return id, ok, err
}

// parseTables reads lines of the form "NUMBER NAME", decimal or 0x hex, with #
// comments. Other lines are passed over, as by iproute2.
func parseTables(r io.Reader) (map[string]uint32, error) {
	tables := make(map[string]uint32)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		text, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) != 2 {
			continue
		}
		id, err := strconv.ParseUint(fields[0], 0, 32)
		if err != nil {
			continue
		}
		tables[fields[1]] = uint32(id)
	}
	return tables, lines.Err()
}
