// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import (
	"encoding/binary"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// readNICFeatures asks for the offloads of an interface, as ethtool -k does. They are
// not known on kernels without ethtool netlink (before Linux 5.6).
func readNICFeatures(name string) nicFeatures {
	family, err := netlink.GenlFamilyGet(unix.ETHTOOL_GENL_NAME)
	if err != nil {
		return nicFeatures{}
	}
	request := nl.NewNetlinkRequest(int(family.ID), 0)
	request.AddData(&nl.Genlmsg{Command: unix.ETHTOOL_MSG_FEATURES_GET, Version: unix.ETHTOOL_GENL_VERSION})
	header := nl.NewRtAttr(unix.ETHTOOL_A_FEATURES_HEADER|unix.NLA_F_NESTED, nil)
	header.AddRtAttr(unix.ETHTOOL_A_HEADER_DEV_NAME, nl.ZeroTerminated(name))
	request.AddData(header)
	answers, err := request.Execute(unix.NETLINK_GENERIC, 0)
	if err != nil || len(answers) == 0 {
		return nicFeatures{}
	}
	return decodeNICFeatures(answers[0], binary.NativeEndian)
}

// decodeNICFeatures reads the answer to ETHTOOL_MSG_FEATURES_GET with sets by name
// (Documentation/networking/ethtool-netlink.rst, "FEATURES_GET" and "Bit sets"),
// without the netlink header. It does not keep b.
func decodeNICFeatures(b []byte, order binary.ByteOrder) nicFeatures {
	var f nicFeatures
	if len(b) < nl.SizeofGenlmsg || b[0] != unix.ETHTOOL_MSG_FEATURES_GET_REPLY {
		return f
	}
	var fixed map[string]bool
	eachAttribute(b[nl.SizeofGenlmsg:], order, func(kind uint16, value []byte) {
		switch kind {
		case unix.ETHTOOL_A_FEATURES_HW:
			f.changeable = decodeBitset(value, order)
		case unix.ETHTOOL_A_FEATURES_ACTIVE:
			f.active = decodeBitset(value, order)
		case unix.ETHTOOL_A_FEATURES_NOCHANGE:
			fixed = decodeBitset(value, order)
		}
	})
	if f.changeable == nil || f.active == nil {
		return nicFeatures{}
	}
	for name := range fixed {
		delete(f.changeable, name)
	}
	return f
}

// decodeBitset returns the names of the bits that are set. A set without a mask is the
// list of them; one with a mask lists others too and says which have a value.
func decodeBitset(b []byte, order binary.ByteOrder) map[string]bool {
	set := make(map[string]bool)
	list := false
	eachAttribute(b, order, func(kind uint16, value []byte) {
		switch kind {
		case unix.ETHTOOL_A_BITSET_NOMASK:
			list = true
		case unix.ETHTOOL_A_BITSET_BITS:
			eachAttribute(value, order, func(kind uint16, value []byte) {
				if kind != unix.ETHTOOL_A_BITSET_BITS_BIT {
					return
				}
				if name, on := decodeBit(value, order); name != "" && (on || list) {
					set[name] = true
				}
			})
		}
	})
	return set
}

func decodeBit(b []byte, order binary.ByteOrder) (name string, on bool) {
	eachAttribute(b, order, func(kind uint16, value []byte) {
		switch kind {
		case unix.ETHTOOL_A_BITSET_BIT_NAME:
			name = unix.ByteSliceToString(value)
		case unix.ETHTOOL_A_BITSET_BIT_VALUE:
			on = true
		}
	})
	return name, on
}

// eachAttribute calls f for each netlink attribute in b, up to the first that is
// damaged.
func eachAttribute(b []byte, order binary.ByteOrder, f func(kind uint16, value []byte)) {
	for len(b) >= unix.SizeofNlAttr {
		size, kind := int(order.Uint16(b)), order.Uint16(b[2:])
		if size < unix.SizeofNlAttr || size > len(b) {
			return
		}
		f(kind&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[unix.SizeofNlAttr:size])
		b = b[min(align4(size), len(b)):]
	}
}
