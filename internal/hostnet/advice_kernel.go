// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A kernelVersion is the first three numbers of the release of a kernel. Fixes that
// a distribution has put into an older one do not show in it.
type kernelVersion [3]int

// parseKernelVersion reads the start of a release as "6.6.44-1-lts", "7.0-rc3" or
// "5.10". It is zero when it does not start with two numbers.
func parseKernelVersion(release string) (v kernelVersion) {
	rest := release
	for i := range v {
		digits := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
		n, err := strconv.Atoi(digits)
		if err != nil {
			if i < 2 {
				return kernelVersion{}
			}
			return v
		}
		v[i], rest = n, rest[len(digits):]
		if !strings.HasPrefix(rest, ".") {
			if i == 0 {
				return kernelVersion{}
			}
			return v
		}
		rest = rest[1:]
	}
	return v
}

func (v kernelVersion) String() string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }

func (v kernelVersion) before(w kernelVersion) bool { return slices.Compare(v[:], w[:]) < 0 }

// A kernelRange is from the first version with a fault to the first without it.
type kernelRange struct{ from, fixed kernelVersion }

func (v kernelVersion) in(ranges []kernelRange) (fixed kernelVersion, found bool) {
	for _, r := range ranges {
		if !v.before(r.from) && v.before(r.fixed) {
			return r.fixed, true
		}
	}
	return kernelVersion{}, false
}

var (
	// gsoFault: segmented UDP messages of equally long packets are corrupted. It came
	// with Linux commit b10b446 and went with 78effd8 and 5f17ae0.
	gsoFault = []kernelRange{{kernelVersion{7, 0, 0}, kernelVersion{7, 1, 5}}}
	// tunFault: a TUN device refuses superpackets with EINVAL. It came with Linux
	// commit e269d79 and went with 89add40, and was in stable kernels for two releases.
	tunFault = []kernelRange{
		{kernelVersion{6, 6, 44}, kernelVersion{6, 6, 46}},
		{kernelVersion{6, 10, 3}, kernelVersion{6, 10, 5}},
	}
	// groFault: UDP receive offload was not right at first; wireguard-go (c92064f)
	// does not use it on these.
	groFault = []kernelRange{{kernelVersion{5, 0, 0}, kernelVersion{5, 12, 0}}}
	// udpForwardingSince is where a TUN device takes merged UDP packets.
	udpForwardingSince = kernelVersion{6, 2, 0}
)

// adviseKernel is about faults of the kernel, by its version.
func (f *hostFacts) adviseKernel(o *AdviceOptions, add func(Advice)) {
	if f.kernel == (kernelVersion{}) {
		return
	}
	if fixed, found := f.kernel.in(gsoFault); found && !o.NoGSO {
		a := Advice{ID: "kernel-udp-gso", Severity: SeverityInfo,
			Text:   fmt.Sprintf("Linux %s may corrupt segmented UDP messages; the router looks for that when it opens its sockets, and adds a packet of one byte to messages if it is so", f.kernel),
			Remedy: fmt.Sprintf("use Linux %s or newer", fixed)}
		if o.NoSentinel {
			a.Severity = SeverityWarning
			a.Text = fmt.Sprintf("Linux %s may corrupt segmented UDP messages, and GSOSentinel = off leaves that as it is: peers drop the packets", f.kernel)
			a.Remedy += ", or remove GSOSentinel"
		}
		add(a)
	}
	if fixed, found := f.kernel.in(tunFault); found && o.Interface != "" {
		add(Advice{ID: "kernel-tun-write", Severity: SeverityWarning,
			Text:   fmt.Sprintf("Linux %s may refuse merged packets that are written to a TUN device (EINVAL): TCP through the tunnel is slow", f.kernel),
			Remedy: fmt.Sprintf("use Linux %s or newer", fixed)})
	}
	if fixed, found := f.kernel.in(groFault); found && !o.NoGRO {
		add(Advice{ID: "kernel-udp-gro", Severity: SeverityWarning,
			Text:   fmt.Sprintf("UDP receive offload of Linux %s has faults", f.kernel),
			Remedy: fmt.Sprintf("use Linux %s or newer, or write GRO = off", fixed)})
	}
}
