// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestUnitFiles: the command lines in the systemd units are ones that the program
// takes.
func TestUnitFiles(t *testing.T) {
	paths, err := filepath.Glob("../../dist/*.service")
	if err != nil || len(paths) == 0 {
		t.Fatalf("units: %v, %v", paths, err)
	}
	command := regexp.MustCompile(`(?m)^Exec\w+=/usr/bin/router (.*)$`)
	specifiers := strings.NewReplacer("%i", "wg0", "%d", "/run/credentials/x", "%t", "/run")
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := command.FindAllStringSubmatch(string(text), -1)
		if len(lines) == 0 {
			t.Errorf("%s: no command line", path)
		}
		for _, line := range lines {
			a := &app{args: []string{"router"}}
			root := a.rootCommand()
			cmd, rest, err := root.Find(strings.Fields(specifiers.Replace(line[1])))
			if err != nil || cmd == root {
				t.Errorf("%s: %s: not a command (%v)", path, line[0], err)
				continue
			}
			if err := cmd.ParseFlags(rest); err != nil {
				t.Errorf("%s: %s: %v", path, line[0], err)
			}
			if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
				t.Errorf("%s: %s: %v", path, line[0], err)
			}
			if strings.Contains(line[1], "%") && specifiers.Replace(line[1]) == line[1] {
				t.Errorf("%s: %s: unknown specifier", path, line[0])
			}
		}
	}
}
