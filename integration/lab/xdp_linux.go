// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package lab

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
)

// XDPProgram returns the id of the XDP program that an interface runs, 0 for none.
func (h *Host) XDPProgram(ifname string) (id uint32) {
	h.t.Helper()
	h.change("XDP program", ifname, func(l netlink.Link) error {
		id = xdpProgram(l)
		return nil
	})
	return id
}

func xdpProgram(l netlink.Link) uint32 {
	if x := l.Attrs().Xdp; x != nil && x.Attached {
		return x.ProgId
	}
	return 0
}

// DetachXDP takes the XDP program off an interface. The process that attached it is
// not asked: anybody with the privileges can do that, as "bpftool link detach" does.
func (h *Host) DetachXDP(ifname string) {
	h.t.Helper()
	h.change("detach the XDP program", ifname, func(l netlink.Link) error {
		id := xdpProgram(l)
		if id == 0 {
			return errors.New("there is none")
		}
		all := new(link.Iterator)
		defer all.Close()
		for all.Next() {
			info, err := all.Link.Info()
			if err != nil || info.Type != link.XDPType || info.Program != ebpf.ProgramID(id) {
				continue // of another interface, or gone by now
			}
			return all.Link.Detach()
		}
		return errors.Join(all.Err(), fmt.Errorf("program %d is attached without a link", id))
	})
}
