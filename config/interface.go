// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// An Interface is the [Interface] section: the router's own end of the tunnel.
type Interface struct {
	PrivateKey Key    // clamped; zero when a hook has to set it
	ListenPort uint16 // UDP port; 0 lets the system choose
	FwMark     uint32 // mark of the packets that leave; 0 is none

	Addresses []netip.Prefix // host bits kept; a bare address has all bits
	DNS       []netip.Addr   // name servers
	DNSSearch []string       // search domains
	MTU       int            // bytes of an inner packet; 0 is automatic
	Table     Table          // where the routes of AllowedIPs go

	// Shell commands around the start and the end, %i not yet replaced.
	PreUp, PostUp, PreDown, PostDown []string

	// SaveConfig says to write the live configuration back at the end.
	SaveConfig bool

	// CheckAlive are addresses in the tunnel to ask whether it works, CheckAliveInterval
	// the seconds between, 0 being the default. Only netstack mode asks them.
	CheckAlive         []netip.Addr
	CheckAliveInterval uint16
}

const (
	// minMTU is the smallest MTU of IPv4 (RFC 791), and what Linux asks of a TUN.
	minMTU = 68
	// minMTU6 is the smallest MTU of IPv6 (RFC 8200 section 5).
	minMTU6 = 1280
	// maxMTU is the largest length that an IPv4 packet can state.
	maxMTU = 65535
)

// interfaceKeys are the keys of [Interface], in the order in which they are written.
func interfaceKeys() []key {
	return []key{
		{name: "PrivateKey", set: setPrivateKey},
		{name: "ListenPort", set: setListenPort},
		{name: "FwMark", set: setFwMark},
		{name: "Address", set: addAddresses, repeats: true, spaced: true, empty: true},
		{name: "DNS", set: addDNS, repeats: true, spaced: true, empty: true},
		{name: "MTU", set: setMTU, spaced: true, empty: true},
		{name: "Table", set: setTable, spaced: true, empty: true},
		hook("PreUp", func(i *Interface) *[]string { return &i.PreUp }),
		hook("PostUp", func(i *Interface) *[]string { return &i.PostUp }),
		hook("PreDown", func(i *Interface) *[]string { return &i.PreDown }),
		hook("PostDown", func(i *Interface) *[]string { return &i.PostDown }),
		{name: "SaveConfig", set: setSaveConfig, spaced: true},
		{name: "CheckAlive", set: addCheckAlive, repeats: true, spaced: true, empty: true},
		{name: "CheckAliveInterval", set: setCheckAliveInterval, spaced: true},
	}
}

// hook is the key of a shell command, one for each line.
func hook(name string, list func(*Interface) *[]string) key {
	return key{name: name, repeats: true, hook: true, spaced: true, empty: true, set: func(e *entry) {
		if l := list(&e.cfg.Interface); e.value != "" {
			*l = append(*l, e.value)
		}
	}}
}

func setPrivateKey(e *entry) {
	k, ok := e.key()
	switch {
	case !ok:
	case k.IsZero():
		e.wrong("make a key with router genkey", "all zero")
	default:
		e.cfg.Interface.PrivateKey = k.clamp()
	}
}

func setListenPort(e *entry) {
	n, ok := e.number(0, 65535, "a UDP port", "write a number from 0 to 65535; 0 lets the system choose")
	if ok {
		e.cfg.Interface.ListenPort = uint16(n)
	}
}

func setFwMark(e *entry) {
	if sameName(e.value, "off") {
		e.cfg.Interface.FwMark = 0
		return
	}
	digits, base := e.value, 10
	if len(digits) > 2 && (digits[:2] == "0x" || digits[:2] == "0X") {
		digits, base = digits[2:], 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil {
		e.wrong("write off, a number up to 4294967295 or a hexadecimal one up to 0xffffffff", "%s is not a mark", show(e.value))
		return
	}
	e.cfg.Interface.FwMark = uint32(n)
}

func addAddresses(e *entry) {
	i := &e.cfg.Interface
	for _, text := range e.list() {
		addr, ok := parseRange(text)
		if !ok {
			addr, ok = parseNetmask(text)
		}
		switch {
		case !ok:
			e.wrong("write ADDRESS/BITS, for example 10.0.0.1/24 or fd00::1/64", "%s is not an address", show(text))
		case addr.Addr().Is4In6():
			e.wrong("write "+addr.Addr().Unmap().String(), "%s is an IPv4 address in IPv6 form", show(text))
		case slices.Contains(i.Addresses, addr):
			e.doubt("remove one of the two", "%s is given twice", addr)
		default:
			i.Addresses = append(i.Addresses, addr)
		}
	}
}

// parseNetmask reads ADDRESS/MASK with a dotted IPv4 mask, which ip(8) takes.
func parseNetmask(text string) (netip.Prefix, bool) {
	host, dotted, _ := strings.Cut(text, "/")
	addr, err := netip.ParseAddr(host)
	mask, maskErr := netip.ParseAddr(dotted)
	if err != nil || maskErr != nil || !addr.Is4() || !mask.Is4() {
		return netip.Prefix{}, false
	}
	for bits := range 33 {
		if all, _ := netip.AddrFrom4([4]byte{255, 255, 255, 255}).Prefix(bits); all.Addr() == mask {
			return netip.PrefixFrom(addr, bits), true
		}
	}
	return netip.Prefix{}, false
}

// addDNS reads name servers and search domains; wg-quick takes for a server what has
// a colon or consists of digits and dots.
func addDNS(e *entry) {
	i := &e.cfg.Interface
	for _, text := range e.list() {
		if strings.Contains(text, ":") || strings.Trim(text, "0123456789.") == "" {
			addr, err := netip.ParseAddr(text)
			if err != nil {
				e.wrong("write an address, for example 10.0.0.1, or a search domain", "%s is not an address", show(text))
				continue
			}
			i.DNS = append(i.DNS, addr)
			continue
		}
		if !isHostName(strings.TrimPrefix(text, "~")) && text != "~." {
			e.wrong("write an address, for example 10.0.0.1, or a search domain", "%s is neither an address nor a domain", show(text))
			continue
		}
		i.DNSSearch = append(i.DNSSearch, text)
	}
}

func setMTU(e *entry) {
	if e.value == "" {
		e.cfg.Interface.MTU = 0
		return
	}
	hint := fmt.Sprintf("write a number from %d to %d, or leave it out for the automatic one", minMTU, maxMTU)
	if n, ok := e.number(minMTU, maxMTU, "an MTU", hint); ok {
		e.cfg.Interface.MTU = int(n)
	}
}

func setSaveConfig(e *entry) {
	if n, ok := e.choice("true", "false"); ok {
		e.cfg.Interface.SaveConfig = n == 0
	}
}

// unused warns that the key changes nothing.
// finishAlive says that nobody asks the addresses of CheckAlive in TUN mode.
func (p *parser) finishAlive() {
	if p.cfg.Router.Mode != ModeTUN || p.memory {
		return
	}
	for _, key := range []string{"CheckAlive", "CheckAliveInterval"} {
		if line := p.interfaceGiven[key]; line > 0 {
			p.warning(line, key, "remove it, or leave it for other programs", "only netstack mode uses it")
		}
	}
}

func addCheckAlive(e *entry) {
	for _, text := range e.list() {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" {
			e.wrong("write addresses, for example 10.0.0.1, with commas between them", "%s is not an address", show(text))
			continue
		}
		e.cfg.Interface.CheckAlive = append(e.cfg.Interface.CheckAlive, addr)
	}
}

func setCheckAliveInterval(e *entry) {
	if n, ok := e.number(1, 65535, "a number of seconds", "write seconds from 1 to 65535"); ok {
		e.cfg.Interface.CheckAliveInterval = uint16(n)
	}
}
