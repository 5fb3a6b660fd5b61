// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// shortTxQueue is what a queue of a TUN device should hold at least: as much as is
// read and encrypted at once (128 packets) while as much comes in again.
const shortTxQueue = 256

// defaultTxQueueLen is what the router gives a queue if nothing else is configured.
const defaultTxQueueLen = 1000

// strictReversePath is the value of rp_filter with which the route back to the sender
// of a packet must lead to the interface that it has come from.
const strictReversePath = 1

// advise decides what of f hurts a tunnel with the options o.
func (f *hostFacts) advise(o *AdviceOptions) []Advice {
	var list []Advice
	add := func(a Advice) { list = append(list, a) }
	f.adviseForwarding(o, add)
	f.adviseKernel(o, add)
	f.adviseBuffers(o, add)
	f.adviseQueue(o, add)
	f.adviseReversePath(o, add)
	f.adviseNIC(o, add)
	order := map[Severity]int{SeverityError: 0, SeverityWarning: 1, SeverityInfo: 2}
	slices.SortStableFunc(list, func(a, b Advice) int { return cmp.Compare(order[a.Severity], order[b.Severity]) })
	return list
}

func (f *hostFacts) adviseForwarding(o *AdviceOptions, add func(Advice)) {
	if o.Interface == "" {
		return // in netstack mode the host forwards nothing of the tunnel
	}
	if o.Forwards4 && f.forwarding4 != nil && !*f.forwarding4 {
		add(Advice{ID: "ip-forward", Severity: SeverityError,
			Text:   fmt.Sprintf("the configuration routes IPv4 for others, but the host does not forward packets from %s", o.Interface),
			Remedy: fmt.Sprintf("sysctl -w net.ipv4.ip_forward=1 net.ipv4.conf.%s.forwarding=1", sysctlName(o.Interface))})
	}
	if o.Forwards6 && f.forwarding6 != nil && !*f.forwarding6 {
		add(Advice{ID: "ip6-forward", Severity: SeverityError,
			Text:   fmt.Sprintf("the configuration routes IPv6 for others, but the host does not forward packets from %s", o.Interface),
			Remedy: "sysctl -w net.ipv6.conf.all.forwarding=1; interfaces that take routes from router advertisements need accept_ra=2 then"})
	}
}

func (f *hostFacts) adviseBuffers(o *AdviceOptions, add func(Advice)) {
	for _, b := range []struct {
		id, name, sysctl, effect string
		asked, granted           int
	}{
		{"socket-buffer-receive", "receive", "net.core.rmem_max", "bursts of packets are dropped", o.ReceiveBuffer, f.receiveBuffer},
		{"socket-buffer-send", "send", "net.core.wmem_max", "sending waits or drops under load", o.SendBuffer, f.sendBuffer},
	} {
		if b.asked <= 0 || b.granted <= 0 || b.granted >= b.asked {
			continue
		}
		add(Advice{ID: b.id, Severity: SeverityWarning,
			Text:   fmt.Sprintf("the UDP sockets get a %s buffer of %d bytes instead of %d: %s", b.name, b.granted, b.asked, b.effect),
			Remedy: fmt.Sprintf("sysctl -w %s=%d, or give the router CAP_NET_ADMIN", b.sysctl, b.asked)})
	}
}

func (f *hostFacts) adviseQueue(o *AdviceOptions, add func(Advice)) {
	if o.Interface == "" || f.txQueueLen <= 0 || f.txQueueLen >= shortTxQueue {
		return
	}
	add(Advice{ID: "tx-queue-length", Severity: SeverityWarning,
		Text:   fmt.Sprintf("the queue of %s holds %d packets only: the kernel drops bursts of packets to the tunnel", o.Interface, f.txQueueLen),
		Remedy: fmt.Sprintf("write TxQueueLength = %d or leave it out; now: ip link set %s txqueuelen %[1]d", defaultTxQueueLen, o.Interface)})
}

// adviseReversePath is about the answers to the tunnel's own packets: where the rules
// lead everything without the mark to the tunnel, their way back would be the tunnel,
// unless they carry the mark too and it is looked at.
func (f *hostFacts) adviseReversePath(o *AdviceOptions, add func(Advice)) {
	if !o.PolicyRouting || f.nic == "" || f.rpFilterNIC != strictReversePath || f.srcValidMark {
		return
	}
	add(Advice{ID: "rp-filter", Severity: SeverityError,
		Text:   fmt.Sprintf("the strict reverse path filter of %s drops what peers send, since the rules for the tunnel lead their addresses to it", f.nic),
		Remedy: fmt.Sprintf("sysctl -w net.ipv4.conf.all.src_valid_mark=1, or sysctl -w net.ipv4.conf.%s.rp_filter=2", sysctlName(f.nic))})
}

// sysctlName writes the name of an interface as sysctl(8) wants it.
func sysctlName(link string) string { return strings.ReplaceAll(link, ".", "/") }

// adviseNIC is about UDP that the host forwards from the network to the tunnel:
// merged, it crosses the kernel and the TUN device at a fraction of the cost. The
// other kind of merging, fraglists, is taken apart again there. An interface that
// merges nothing at all, as most veth devices, is left alone.
func (f *hostFacts) adviseNIC(o *AdviceOptions, add func(Advice)) {
	if o.Interface == "" || !o.Forwards4 && !o.Forwards6 || !f.features.active[featureGRO] || f.kernel.before(udpForwardingSince) {
		return
	}
	off := func(name string) bool { return f.features.changeable[name] && !f.features.active[name] }
	if off(featureUDPForwarding) {
		add(Advice{ID: "nic-udp-gro-forwarding", Severity: SeverityInfo,
			Text:   fmt.Sprintf("%s does not merge UDP packets that are forwarded to the tunnel (%s is off)", f.nic, featureUDPForwarding),
			Remedy: fmt.Sprintf("ethtool -K %s %s on %s off", f.nic, featureUDPForwarding, featureGROList)})
	}
	if f.features.changeable[featureGROList] && f.features.active[featureGROList] {
		add(Advice{ID: "nic-gro-list", Severity: SeverityInfo,
			Text:   fmt.Sprintf("%s merges UDP packets to lists (%s is on), which are taken apart again before the tunnel", f.nic, featureGROList),
			Remedy: fmt.Sprintf("ethtool -K %s %s on %s off", f.nic, featureUDPForwarding, featureGROList)})
	}
}
