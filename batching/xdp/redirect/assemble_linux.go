// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package redirect

import (
	"encoding/binary"

	"github.com/cilium/ebpf/asm"
)

// Return values of an XDP program (enum xdp_action, include/uapi/linux/bpf.h).
const (
	xdpPass     = 2
	xdpRedirect = 4
)

// Offsets in struct xdp_md (include/uapi/linux/bpf.h).
const (
	mdData    = 0
	mdDataEnd = 4
	mdQueue   = 16
)

const (
	etherLen  = 14
	tagLen    = 4
	ipv4Len   = 20
	ipv6Len   = 40
	udpLen    = 8
	protoUDP  = 17
	typeIPv4  = 0x0800
	typeIPv6  = 0x86dd
	typeVLAN  = 0x8100 // 802.1Q
	typeQinQ  = 0x88a8 // 802.1ad
	vlanID    = 0x0fff // of the 16 bits behind the type of a tag
	fragments = 0x3fff // "more fragments" and the offset
)

// Where the program keeps what it looks up, relative to the frame pointer.
const (
	stackKey    = -keyLen // the destination address, see key
	stackFamily = stackKey + 16
	stackIndex  = stackKey - 4 // index into an array map
)

// labels of the ways out, one for each verdict: the name with a prefix.
func out(v Verdict) string { return "out_" + v.String() }

// wire returns what a 16-bit load from the packet gives for v: loads are in the
// byte order of the host.
func wire(v uint16) int32 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return int32(binary.NativeEndian.Uint16(b[:]))
}

// mapFDs are the maps that the program uses.
type mapFDs struct{ port, addresses, sockets, counts int }

// Registers that keep their value over calls of helper functions.
const (
	regAt     = asm.R6 // where the IP header begins, then the UDP header
	regEnd    = asm.R7 // end of the frame
	regMD     = asm.R8 // struct xdp_md, at the end the verdict
	regLength = asm.R9 // length of IP's payload, at the end what is returned
)

// assemble returns the program. What it does is said in the package comment; the
// order of the checks is that of [Verdict].
//
// Loads from the packet are of bytes, aligned halves and aligned words, counted
// from the IP header, so that the program loads on machines that need alignment.
// A pointer is compared with the end of the frame before each header is read, as
// the verifier demands; no pointer becomes a number, for which CAP_PERFMON would
// be needed.
func assemble(m mapFDs, opts *Options) asm.Instructions {
	var p asm.Instructions
	p = append(p, ethernet(opts.VLAN)...)
	p = append(p, ipv4()...)
	p = append(p, ipv6()...)
	p = append(p, udp(m)...)
	p = append(p, redirect(m, opts.MaxFrame)...)
	return append(p, leave(m, opts.MaxFrame)...)
}

// ethernet finds the IP header and goes on at "ipv4" or "ipv6".
func ethernet(vlan uint16) asm.Instructions {
	untagged := "network"
	if vlan != 0 {
		untagged = out(PassVLAN)
	}
	return asm.Instructions{
		asm.Mov.Reg(regMD, asm.R1),
		asm.LoadMem(asm.R2, regMD, mdData, asm.Word),
		asm.LoadMem(regEnd, regMD, mdDataEnd, asm.Word),

		asm.Mov.Reg(regAt, asm.R2),
		asm.Add.Imm(regAt, etherLen),
		asm.JGT.Reg(regAt, regEnd, out(PassShort)),
		asm.LoadMem(asm.R3, asm.R2, 0, asm.Byte),
		asm.And.Imm(asm.R3, 1), // the group bit, first on the wire
		asm.JNE.Imm(asm.R3, 0, out(PassGroup)),
		asm.LoadMem(asm.R4, asm.R2, 12, asm.Half),
		asm.JEq.Imm(asm.R4, wire(typeVLAN), "tag"),
		asm.JNE.Imm(asm.R4, wire(typeQinQ), untagged),

		asm.Add.Imm(regAt, tagLen).WithSymbol("tag"),
		asm.JGT.Reg(regAt, regEnd, out(PassShort)),
		asm.LoadMem(asm.R4, asm.R2, 16, asm.Half),
		asm.JEq.Imm(asm.R4, wire(typeVLAN), out(PassTags)),
		asm.JEq.Imm(asm.R4, wire(typeQinQ), out(PassTags)),
		asm.LoadMem(asm.R3, asm.R2, 14, asm.Half),
		asm.And.Imm(asm.R3, wire(vlanID)),
		asm.JNE.Imm(asm.R3, wire(vlan), out(PassVLAN)),

		asm.JEq.Imm(asm.R4, wire(typeIPv6), "ipv6").WithSymbol("network"),
		asm.JNE.Imm(asm.R4, wire(typeIPv4), out(PassEtherType)),
	}
}

// ipv4 checks the IPv4 header (RFC 791), keeps the destination and goes on at
// "udp".
func ipv4() asm.Instructions {
	p := asm.Instructions{
		asm.Mov.Reg(asm.R3, regAt),
		asm.Add.Imm(asm.R3, ipv4Len),
		asm.JGT.Reg(asm.R3, regEnd, out(PassShort)),
		asm.LoadMem(asm.R4, regAt, 0, asm.Byte),
		asm.JNE.Imm(asm.R4, 0x45, out(PassHeader)),
		asm.LoadMem(asm.R4, regAt, 6, asm.Half),
		asm.And.Imm(asm.R4, wire(fragments)),
		asm.JNE.Imm(asm.R4, 0, out(PassFragment)),
		asm.LoadMem(asm.R4, regAt, 9, asm.Byte),
		asm.JNE.Imm(asm.R4, protoUDP, out(PassProtocol)),

		asm.LoadMem(regLength, regAt, 2, asm.Half),
		asm.HostTo(asm.BE, regLength, asm.Half),
		asm.JLT.Imm(regLength, ipv4Len+udpLen, out(PassLength)),
		asm.Mov.Reg(asm.R3, regAt),
		asm.Add.Reg(asm.R3, regLength),
		asm.JGT.Reg(asm.R3, regEnd, out(PassLength)),
		asm.Sub.Imm(regLength, ipv4Len),

		asm.Mov.Imm(asm.R4, 0),
	}
	// The ones' complement sum does not depend on the byte order (RFC 1071).
	for at := int16(0); at < ipv4Len; at += 4 {
		p = append(p, asm.LoadMem(asm.R3, regAt, at, asm.Word), asm.Add.Reg(asm.R4, asm.R3))
	}
	// Five words give at most 0x4_ffff_fffb: 0x5_fffa after the first fold,
	// 0xffff at most after the third.
	for range 3 {
		p = append(p,
			asm.Mov.Reg(asm.R3, asm.R4),
			asm.RSh.Imm(asm.R3, 16),
			asm.And.Imm(asm.R4, 0xffff),
			asm.Add.Reg(asm.R4, asm.R3))
	}
	return append(p,
		asm.JNE.Imm(asm.R4, 0xffff, out(PassChecksum)),

		asm.LoadMem(asm.R3, regAt, 16, asm.Word),
		asm.StoreMem(asm.RFP, stackKey, asm.R3, asm.Word),
		asm.StoreImm(asm.RFP, stackKey+4, 0, asm.Word),
		asm.StoreImm(asm.RFP, stackKey+8, 0, asm.Word),
		asm.StoreImm(asm.RFP, stackKey+12, 0, asm.Word),
		asm.Mov.Imm(asm.R3, wireFamily(4)),
		asm.StoreMem(asm.RFP, stackFamily, asm.R3, asm.Word),
		asm.Add.Imm(regAt, ipv4Len),
		asm.Ja.Label("udp"))
}

// ipv6 checks the IPv6 header (RFC 8200), keeps the destination and runs on into
// udp.
func ipv6() asm.Instructions {
	p := asm.Instructions{
		asm.Mov.Reg(asm.R3, regAt).WithSymbol("ipv6"),
		asm.Add.Imm(asm.R3, ipv6Len),
		asm.JGT.Reg(asm.R3, regEnd, out(PassShort)),
		asm.LoadMem(asm.R4, regAt, 0, asm.Byte),
		asm.And.Imm(asm.R4, 0xf0),
		asm.JNE.Imm(asm.R4, 0x60, out(PassHeader)),
		asm.LoadMem(asm.R4, regAt, 6, asm.Byte),
		asm.JNE.Imm(asm.R4, protoUDP, out(PassProtocol)),

		asm.LoadMem(regLength, regAt, 4, asm.Half),
		asm.HostTo(asm.BE, regLength, asm.Half),
		asm.JLT.Imm(regLength, udpLen, out(PassLength)), // 0: a jumbogram
		asm.Add.Reg(asm.R3, regLength),
		asm.JGT.Reg(asm.R3, regEnd, out(PassLength)),
	}
	for at := int16(0); at < 16; at += 4 {
		p = append(p,
			asm.LoadMem(asm.R3, regAt, 24+at, asm.Word),
			asm.StoreMem(asm.RFP, stackKey+at, asm.R3, asm.Word))
	}
	return append(p,
		asm.Mov.Imm(asm.R3, wireFamily(6)),
		asm.StoreMem(asm.RFP, stackFamily, asm.R3, asm.Word),
		asm.Add.Imm(regAt, ipv6Len))
}

// wireFamily returns the family of a key as a word.
func wireFamily(f byte) int32 {
	return int32(binary.NativeEndian.Uint32([]byte{f, 0, 0, 0}))
}

// udp checks the UDP header, then port and address, and runs on into redirect.
func udp(m mapFDs) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R3, regAt).WithSymbol("udp"),
		asm.Add.Imm(asm.R3, udpLen),
		// Never true: IP's payload was found long enough and in the frame. The
		// verifier does not know.
		asm.JGT.Reg(asm.R3, regEnd, out(PassLength)),
		asm.LoadMem(asm.R4, regAt, 4, asm.Half),
		asm.HostTo(asm.BE, asm.R4, asm.Half),
		asm.JLT.Imm(asm.R4, udpLen, out(PassLength)),
		asm.JGT.Reg(asm.R4, regLength, out(PassLength)),
		asm.LoadMem(asm.R4, asm.RFP, stackFamily, asm.Word),
		asm.JEq.Imm(asm.R4, wireFamily(4), "port"), // 0 means "none" there
		asm.LoadMem(asm.R4, regAt, 6, asm.Half),
		asm.JEq.Imm(asm.R4, 0, out(PassChecksum)),

		asm.StoreImm(asm.RFP, stackIndex, 0, asm.Word).WithSymbol("port"),
		asm.LoadMapPtr(asm.R1, m.port),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, stackIndex),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, out(PassPort)),
		asm.LoadMem(asm.R3, asm.R0, 0, asm.Word),
		asm.JEq.Imm(asm.R3, 0, out(PassPort)), // none chosen yet
		asm.LoadMem(asm.R4, regAt, 2, asm.Half),
		asm.JNE.Reg(asm.R4, asm.R3, out(PassPort)),

		asm.LoadMapPtr(asm.R1, m.addresses),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, stackKey),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, out(PassAddress)),
	}
}

// redirect asks for the redirect of a frame that is ours, unless it is too long.
func redirect(m mapFDs, maxFrame int) asm.Instructions {
	var p asm.Instructions
	if maxFrame > 0 {
		p = append(p,
			asm.LoadMem(asm.R2, regMD, mdData, asm.Word),
			asm.Add.Imm(asm.R2, int32(maxFrame)),
			asm.JLT.Reg(asm.R2, regEnd, out(PassLong)))
	}
	return append(p,
		// The lower bits of the flags are what is returned when the queue has no
		// socket, or no room in the map.
		asm.LoadMapPtr(asm.R1, m.sockets),
		asm.LoadMem(asm.R2, regMD, mdQueue, asm.Word),
		asm.Mov.Imm(asm.R3, xdpPass),
		asm.FnRedirectMap.Call(),
		asm.Mov.Reg(regLength, asm.R0),
		asm.Mov.Imm(regMD, int32(Redirected)),
		asm.JEq.Imm(asm.R0, xdpRedirect, "count"),
		asm.Mov.Imm(regMD, int32(PassNoSocket)),
		asm.Ja.Label("count"))
}

// leave counts the verdict and returns.
func leave(m mapFDs, maxFrame int) asm.Instructions {
	var p asm.Instructions
	for v := PassLong; v < verdicts; v++ {
		if v == PassLong && maxFrame == 0 {
			continue // the verifier refuses what is never reached
		}
		p = append(p,
			asm.Mov.Imm(regMD, int32(v)).WithSymbol(out(v)),
			asm.Ja.Label("pass"))
	}
	return append(p,
		asm.Mov.Imm(regLength, xdpPass).WithSymbol("pass"),

		asm.StoreMem(asm.RFP, stackIndex, regMD, asm.Word).WithSymbol("count"),
		asm.LoadMapPtr(asm.R1, m.counts),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, stackIndex),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "return"),
		// One counter for each CPU, which runs one program at a time: a plain
		// addition is enough.
		asm.LoadMem(asm.R1, asm.R0, 0, asm.DWord),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R0, 0, asm.R1, asm.DWord),

		asm.Mov.Reg(asm.R0, regLength).WithSymbol("return"),
		asm.Return())
}
