// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package lab

import (
	"fmt"
	"os"
	"path/filepath"
)

// nobody is the user and the group of that name.
const nobody = 65534

// NobodyDir is a directory of every host that [Host.WriteNobodyFile] makes the
// user nobody's.
const NobodyDir = "/run/nobody"

// AsNobody returns the command as the user nobody gives it: of no other group,
// without capabilities and unable to gain any. It needs setpriv(1).
func AsNobody(c Command) Command {
	c.Args = append([]string{
		fmt.Sprintf("--reuid=%d", nobody), fmt.Sprintf("--regid=%d", nobody), "--clear-groups",
		"--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--", c.Path,
	}, c.Args...)
	c.Path = "setpriv"
	c.Env = append([]string{"HOME=" + NobodyDir, "XDG_RUNTIME_DIR=" + NobodyDir}, c.Env...)
	return c
}

// WriteNobodyFile writes a file in [NobodyDir] that only nobody can read, and
// returns its path.
func (h *Host) WriteNobodyFile(name, text string) string {
	h.t.Helper()
	path := filepath.Join(NobodyDir, name)
	h.WriteFile(path, text, 0o600)
	for _, p := range []string{NobodyDir, path} {
		if err := os.Chown(h.Path(p), nobody, nobody); err != nil {
			h.t.Fatalf("host %s: %v", h.Name, err)
		}
	}
	return path
}

// AllowTUN lets every user of the host make TUN devices where he may make
// interfaces at all, as most distributions do.
func (h *Host) AllowTUN() {
	h.t.Helper()
	// On a node of its own: the machine's is shared.
	const node = "/run/tun"
	h.Output("sh", "-c", "mknod -m 666 "+node+" c 10 200 && mount --bind "+node+" /dev/net/tun")
}
