// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package redirect

import (
	"fmt"

	"github.com/cilium/ebpf"
)

// ProgramName is the name that the kernel has for the program, as bpftool shows it.
const ProgramName = "router_redirect"

// NameOf returns the name of the loaded program with the identifier, which is empty
// when it was not given one. It tells what is attached to an interface. The error is
// EPERM without CAP_SYS_ADMIN, ENOENT when there is no such program.
func NameOf(id uint32) (string, error) {
	p, err := ebpf.NewProgramFromID(ebpf.ProgramID(id))
	if err != nil {
		return "", fmt.Errorf("redirect: program %d: %w", id, err)
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		return "", fmt.Errorf("redirect: program %d: %w", id, err)
	}
	return info.Name, nil
}
