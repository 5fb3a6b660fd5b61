// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// A ruleReader reads one value of Allow or Deny.
type ruleReader struct {
	*entry
	rule FilterRule
	bad  bool
}

// wrong records a mistake in the rule.
func (r *ruleReader) wrong(hint, format string, args ...any) {
	r.bad = true
	r.entry.wrong(hint, format, args...)
}

// ruleWords splits a value at white space, except beside commas.
func ruleWords(value string) []string {
	items := strings.Split(value, ",")
	for i, item := range items {
		items[i] = strings.Trim(item, space)
	}
	return strings.FieldsFunc(strings.Join(items, ","), isSpace)
}

// addFilterRule reads any, or:
//
//	[from ENDS] [to ENDS] [proto tcp|udp|icmp|NUMBER] [sport PORTS] [port PORTS]
func addFilterRule(e *entry, deny bool) {
	e.ruleLines = append(e.ruleLines, e.line)
	r := &ruleReader{entry: e, rule: FilterRule{Deny: deny, Line: e.line}}
	r.rule.Text = e.name + " = " + strings.Join(strings.FieldsFunc(e.value, isSpace), " ")
	if !sameName(e.value, wordAny) {
		r.clauses(ruleWords(e.value))
	}
	if !r.bad {
		e.cfg.Filter.Rules = append(e.cfg.Filter.Rules, r.rule)
	}
}

// clauses reads pairs of a word and its value.
func (r *ruleReader) clauses(words []string) {
	known := []string{wordFrom, wordTo, wordProto, wordSourcePort, wordPort}
	given := map[string]bool{}
	for len(words) > 0 {
		i := slices.IndexFunc(known, func(w string) bool { return sameName(w, words[0]) })
		if i < 0 {
			r.unknownWord(words[0], known, len(given) == 0 && len(words) == 1)
			return
		}
		word := known[i]
		switch {
		case given[word]:
			r.wrong("put all of them behind one "+word+", with commas", "%s is given twice", word)
		case len(words) == 1:
			r.wrong("write "+word+" and a value, or remove the word", "nothing behind %s", word)
			return
		}
		given[word] = true
		r.clause(word, words[1])
		words = words[2:]
	}
	hasPorts := given[wordPort] || given[wordSourcePort]
	if p := r.rule.Protocol; hasPorts && p != protoTCP && p != protoUDP && !r.bad {
		r.wrong("write proto tcp or proto udp, or remove the ports", "ports without a protocol that has them")
	}
}

// unknownWord reports a word in place of one of known.
func (r *ruleReader) unknownWord(word string, known []string, alone bool) {
	hint := "write from, to, proto, sport or port"
	switch near := nearest(word, known); {
	case near != "":
		hint += ", perhaps " + near
	case slices.ContainsFunc([]string{"tcp", "udp", "icmp"}, func(w string) bool { return sameName(w, word) }):
		hint = "write proto " + strings.ToLower(word)
	case alone:
		hint += " and a value, or any alone"
	}
	r.wrong(hint, "unknown word %s", show(word))
}

func (r *ruleReader) clause(word, value string) {
	switch word {
	case wordFrom:
		r.end(&r.rule.From, value)
	case wordTo:
		r.end(&r.rule.To, value)
	case wordProto:
		r.protocol(value)
	case wordSourcePort:
		r.rule.SourcePorts = r.ports(value)
	case wordPort:
		r.rule.Ports = r.ports(value)
	}
}

// end reads ENDS.
func (r *ruleReader) end(end *FilterEnd, value string) {
	if sameName(value, wordAny) {
		return
	}
	for item := range strings.SplitSeq(value, ",") {
		switch {
		case item == "":
			r.wrong("remove the comma that has nothing on one side", "an item is empty")
		case sameName(item, wordAny):
			r.wrong("write any alone", "any leaves nothing for the others")
		case sameName(item, wordHost):
			end.Host = true
		case sameName(item, wordPeers):
			end.Peers = true
		case len(item) == keyTextLen && item[keyTextLen-1] == '=':
			if k, ok := r.publicKey(item); !ok {
				r.bad = true
			} else if !slices.Contains(end.Keys, k) {
				end.Keys = append(end.Keys, k)
			}
		case isWord(item) && !strings.Contains(item, ":"):
			if !slices.ContainsFunc(end.Names, func(n string) bool { return sameName(n, item) }) {
				end.Names = append(end.Names, item)
			}
		default:
			r.prefix(end, item)
		}
	}
}

// prefix reads an address or a range.
func (r *ruleReader) prefix(end *FilterEnd, item string) {
	prefix, ok := parseRange(item)
	switch {
	case !ok:
		hint := allowedIPHint(item)
		if item[0] == '+' || item[0] == '-' || strings.Trim(item, "0123456789abcdefABCDEF.:/") != "" {
			hint = "write any, host, peers, a NAME, a public key, or ADDRESS/BITS"
		}
		r.wrong(hint, "%s is not an address range", show(item))
		return
	case prefix.Addr().Is4In6():
		hint := "write it in IPv4 form"
		if prefix.Bits() >= 96 {
			hint = "write " + netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96).String()
		}
		r.wrong(hint, "%s is an IPv4 range in IPv6 form and matches no packet", show(item))
		return
	}
	if masked := prefix.Masked(); masked != prefix {
		r.doubt("write "+masked.String(), "%s has bits set behind its mask", show(item))
		prefix = masked
	}
	if !slices.Contains(end.Prefixes, prefix) {
		end.Prefixes = append(end.Prefixes, prefix)
	}
}

// protocol reads a word or a number.
func (r *ruleReader) protocol(value string) {
	words := []string{"tcp", "udp", "icmp"}
	numbers := []uint8{protoTCP, protoUDP, protoICMP}
	if i := slices.IndexFunc(words, func(w string) bool { return sameName(w, value) }); i >= 0 {
		r.rule.Protocol = numbers[i]
		return
	}
	n, err := strconv.ParseUint(value, 10, 8)
	if err != nil || n == 0 {
		hint := "write tcp, udp, icmp or a number from 1 to 255"
		if near := nearest(value, words); near != "" {
			hint += ", perhaps " + near
		}
		r.wrong(hint, "%s is not a protocol", show(value))
		return
	}
	r.rule.Protocol = uint8(n)
}

// ports reads PORTS.
func (r *ruleReader) ports(value string) []PortRange {
	const hint = "write numbers up to 65535 or FIRST-LAST, with commas between them"
	var ports []PortRange
	for item := range strings.SplitSeq(value, ",") {
		low, high, ranged := strings.Cut(item, "-")
		if !ranged {
			high = low
		}
		first, err := strconv.ParseUint(low, 10, 16)
		last, lastErr := strconv.ParseUint(high, 10, 16)
		switch {
		case item == "":
			r.wrong("remove the comma that has nothing on one side", "an item is empty")
		case err != nil || lastErr != nil:
			r.wrong(hint, "%s is not a port", show(item))
		case first > last:
			r.wrong("write "+PortRange{uint16(last), uint16(first)}.String(), "%s ends before it begins", show(item))
		default:
			ports = append(ports, PortRange{uint16(first), uint16(last)})
		}
	}
	return ports
}
