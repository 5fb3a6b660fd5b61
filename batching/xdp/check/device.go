// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package check

import (
	"fmt"
	"slices"
	"strings"
)

// deviceFacts are what the kernel says of the interface that has the queues.
type deviceFacts struct {
	name, kind, driver string
	index              int
	queues             int      // receive queues
	table              []uint32 // of RSS: the queue of each hash; nil: not known
	program            *programFacts
	// active and changeable are offloads by the names of ethtool -k; nil: not known.
	active, changeable map[string]bool
	xdp                *xdpFeatures // nil: not known
}

// programFacts are an XDP program that is attached.
type programFacts struct {
	id   uint32 // 0: several, or not known
	mode string // native, generic, offloaded or several
	name string // empty: not known
	ours bool   // of a router
}

// xdpFeatures are what a driver says of itself (netlink family netdev, Linux 6.3).
type xdpFeatures struct{ redirect, zeroCopy bool }

// Offloads by the names that ethtool -k has for them.
const (
	featureLRO     = "rx-lro"
	featureGROHW   = "rx-gro-hw"
	featureRxVLAN  = "rx-vlan-hw-parse"
	featureRxSVLAN = "rx-vlan-stag-hw-parse"
	driverVirtio   = "virtio_net"
	kindReal       = "device"
	kindVeth       = "veth"
)

func (d *deviceFacts) report(r *Report, vlan uint16) {
	r.Driver = d.driver
	d.reportProgram(r)
	d.reportQueues(r)
	d.reportOffloads(r, vlan)
	if d.kind == kindVeth {
		r.add(Note, "driver", "", "native mode on a veth takes segmentation offload from the other end: other traffic over it gets slower")
	}
}

func (d *deviceFacts) reportProgram(r *Report) {
	p := d.program
	switch {
	case p == nil:
		r.add(OK, "program", "", "no XDP program is attached")
	case p.ours:
		r.stops("program", "stop that router, or give it another interface", "a router's XDP program is attached already (id %d, %s)", p.id, p.mode)
	default:
		what := p.mode
		if p.id != 0 {
			what = fmt.Sprintf("id %d, %s", p.id, p.mode)
		}
		if p.name != "" {
			what += ", " + p.name
		}
		r.stops("program", fmt.Sprintf("end what has attached it (bpftool net, bpftool link), or ip link set %s xdp off", d.name),
			"another XDP program is attached (%s)", what)
	}
}

// reportQueues is about packets that arrive on queues without a socket: they go to
// the kernel's sockets.
func (d *deviceFacts) reportQueues(r *Report) {
	available, used := d.queues, min(d.queues, r.Queues)
	r.Available, r.Queues = available, used
	if used == available {
		r.add(OK, "queues", "", "all receive queues are used: %d", used)
		return
	}
	rest := 0
	for _, queue := range d.table {
		if int(queue) >= used {
			rest++
		}
	}
	remedy := fmt.Sprintf("ethtool -X %s equal %d, or ethtool -L %[1]s combined %[2]d", d.name, used)
	if available <= MaxQueues {
		remedy += ", or let the router use all"
	}
	switch {
	case d.table == nil:
		r.add(Limits, "queues", remedy, "%d of %d receive queues are used; what arrives on the others goes to the kernel's sockets", used, available)
	case rest == 0:
		r.add(OK, "queues", "", "%d of %d receive queues are used; the device sends no hashed packets to the others", used, available)
	default:
		r.add(Limits, "queues", remedy, "%d of %d receive queues are used; %d %% of the packets arrive on the others and go to the kernel's sockets",
			used, available, (100*rest+len(d.table)/2)/len(d.table))
	}
}

// virtual reports whether packets may arrive that a sender has not cut yet.
func (d *deviceFacts) virtual() bool {
	return d.kind != kindReal || slices.Contains([]string{driverVirtio, "vif", "xen_netfront"}, d.driver)
}

func (d *deviceFacts) reportOffloads(r *Report, vlan uint16) {
	if d.active == nil {
		r.add(Note, "offloads", "", "not known")
		return
	}
	before := len(r.Findings)
	off := func(name string) string { return fmt.Sprintf("ethtool -K %s %s off", d.name, name) }
	if d.active[featureLRO] {
		r.add(Limits, "offloads", off(featureLRO), "%s is on: many drivers refuse native mode with it", featureLRO)
	}
	switch {
	case !d.active[featureGROHW]:
	case d.refusesNative():
		r.add(Limits, "offloads", "the hypervisor must let the guest change its offloads, or not offer any (QEMU: ctrl_guest_offloads=on)",
			"%s is on and cannot be changed: %s refuses native mode", featureGROHW, d.driver)
	default:
		r.add(Note, "offloads", "", "%s is on; the kernel or the driver switches it off while XDP is used", featureGROHW)
	}
	for _, name := range []string{featureRxVLAN, featureRxSVLAN} {
		if vlan == 0 || !d.active[name] {
			continue
		}
		remedy := off(name)
		if d.kind == kindVeth {
			remedy += "; at the other end of the veth, " + strings.NewReplacer("rx-", "tx-", "parse", "insert").Replace(name) + " off"
		}
		r.add(Limits, "offloads", remedy,
			"%s is on: a tag that the device has taken off is hidden from the program, which leaves the frame to the kernel's sockets", name)
	}
	if len(r.Findings) == before {
		r.add(OK, "offloads", "", "nothing is on that is in the way")
	}
}

// refusesNative is about virtio_net: it takes no program while the other side merges
// and cannot be told to stop (virtnet_xdp_set in drivers/net/virtio_net.c).
func (d *deviceFacts) refusesNative() bool {
	return d.driver == driverVirtio && d.active[featureGROHW] && !d.changeable[featureGROHW]
}

// genericCosts is said where generic mode is or would be used: netif_elide_gro in
// include/linux/netdevice.h.
const genericCosts = "saves little, and takes receive offload (GRO) from all traffic of the device"

// expect sets the verdict by what the driver says of itself. largeMTU tells that it
// may refuse native mode because of the MTU.
func (d *deviceFacts) expect(r *Report, largeMTU bool) {
	name := d.driver
	if name == "" {
		name = "of " + d.name + " (a " + d.kind + ")"
	}
	const about = "driver"
	switch x := d.xdp; {
	case d.refusesNative():
		d.reportGeneric(r, name+" refuses native mode")
	case x == nil:
		r.add(Note, about, "", "driver %s: whether it has native mode and zero-copy is not known before Linux 6.3, only by trying", name)
		r.decide(Unknown, "")
	case !x.redirect:
		d.reportGeneric(r, "driver "+name+" has no native mode")
	case largeMTU:
		r.add(Note, about, "", "driver %s has native mode, perhaps not with this MTU", name)
		r.decide(Unknown, "")
	case !x.zeroCopy:
		r.add(OK, about, "", "driver %s has native mode, and no zero-copy", name)
		r.decide(NativeCopy, "")
	default:
		r.add(OK, about, "", "driver %s has native mode and zero-copy", name)
		r.decide(ZeroCopy, "")
	}
}

// reportGeneric is for a device without native mode.
func (d *deviceFacts) reportGeneric(r *Report, why string) {
	if text := d.noGeneric(); text != "" {
		r.stops("generic", "", "%s, and generic mode is not used: %s", why, text)
		return
	}
	r.add(Limits, "generic", "", "%s; generic mode would be used, which "+genericCosts, why)
	r.decide(Generic, "")
}

// noGeneric says why generic mode is not used; empty when it is.
func (d *deviceFacts) noGeneric() string {
	if d.virtual() {
		kind := d.kind
		if kind == kindReal {
			kind = d.driver
		}
		return "merged packets can arrive on " + kind
	}
	return ""
}
