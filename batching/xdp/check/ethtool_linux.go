// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package check

import (
	"encoding/binary"
	"errors"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Attributes that golang.org/x/sys/unix does not have.
const (
	// ETHTOOL_A_RSS_INDIR of include/uapi/linux/ethtool_netlink.h.
	rssTable = 4
	// NETDEV_CMD_DEV_GET, NETDEV_A_DEV_IFINDEX, NETDEV_A_DEV_XDP_FEATURES and enum
	// netdev_xdp_act of include/uapi/linux/netdev.h.
	netdevDevGet      = 1
	netdevIfindex     = 1
	netdevXDPFeatures = 3
	actBasic          = 1 << 0
	actRedirect       = 1 << 1
	actZeroCopy       = 1 << 3
)

// attributes are those of a netlink message, by number.
type attributes map[uint16][]byte

// each calls f for the attributes in b, up to the first that is damaged.
func each(b []byte, f func(kind uint16, value []byte)) {
	for len(b) >= unix.SizeofNlAttr {
		size, kind := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])
		if size < unix.SizeofNlAttr || size > len(b) {
			return
		}
		f(kind&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[unix.SizeofNlAttr:size])
		b = b[min((size+3)&^3, len(b)):]
	}
}

// nested reads the attributes in b, which it refers to.
func nested(b []byte) attributes {
	out := make(attributes)
	each(b, func(kind uint16, value []byte) { out[kind] = value })
	return out
}

// uint32 returns a number, 0 when it is not there.
func (a attributes) uint32(kind uint16) uint32 {
	if b := a[kind]; len(b) >= 4 {
		return binary.NativeEndian.Uint32(b)
	}
	return 0
}

// genl asks a family of generic netlink and returns the attributes of the answer.
func genl(family string, version, command uint8, ask *nl.RtAttr) (attributes, error) {
	f, err := netlink.GenlFamilyGet(family)
	if err != nil {
		return nil, err
	}
	request := nl.NewNetlinkRequest(int(f.ID), 0)
	// Not nl.Genlmsg: that leaves the reserved half of the header to chance, and the
	// kernel refuses what is not 0 there (genl_header_check, seen in Linux 6.18).
	request.AddRawData(append([]byte{command, version, 0, 0}, ask.Serialize()...))
	answers, err := request.Execute(unix.NETLINK_GENERIC, 0)
	if err != nil {
		return nil, err
	}
	if len(answers) == 0 || len(answers[0]) < nl.SizeofGenlmsg {
		return nil, errors.New("no answer")
	}
	return nested(answers[0][nl.SizeofGenlmsg:]), nil
}

// ethtool asks what ethtool(8) would ask about an interface; nil: not known. The
// header is attribute 1 of all messages.
func ethtool(command uint8, name string) attributes {
	header := nl.NewRtAttr(unix.ETHTOOL_A_FEATURES_HEADER|unix.NLA_F_NESTED, nil)
	header.AddRtAttr(unix.ETHTOOL_A_HEADER_DEV_NAME, nl.ZeroTerminated(name))
	a, err := genl(unix.ETHTOOL_GENL_NAME, unix.ETHTOOL_GENL_VERSION, command, header)
	if err != nil {
		return nil
	}
	return a
}

// channels returns the number of receive queues; 0: not known.
func channels(name string) int {
	a := ethtool(unix.ETHTOOL_MSG_CHANNELS_GET, name)
	return int(a.uint32(unix.ETHTOOL_A_CHANNELS_RX_COUNT) + a.uint32(unix.ETHTOOL_A_CHANNELS_COMBINED_COUNT))
}

// hashTable returns the queue of each hash of RSS; nil: not known.
func hashTable(name string) []uint32 {
	b := ethtool(unix.ETHTOOL_MSG_RSS_GET, name)[rssTable]
	var table []uint32
	for ; len(b) >= 4; b = b[4:] {
		table = append(table, binary.NativeEndian.Uint32(b))
	}
	return table
}

// features returns the offloads that are on, and those that can be changed, by the
// names that ethtool -k has for them; nil: not known.
func features(name string) (active, changeable map[string]bool) {
	a := ethtool(unix.ETHTOOL_MSG_FEATURES_GET, name)
	if a == nil {
		return nil, nil
	}
	active, changeable = bitset(a[unix.ETHTOOL_A_FEATURES_ACTIVE]), bitset(a[unix.ETHTOOL_A_FEATURES_HW])
	for fixed := range bitset(a[unix.ETHTOOL_A_FEATURES_NOCHANGE]) {
		delete(changeable, fixed)
	}
	return active, changeable
}

// bitset returns the names of the bits that are set. A set without a mask is the
// list of them; one with a mask lists others too and says which have a value
// (Documentation/networking/ethtool-netlink.rst, "Bit sets").
func bitset(b []byte) map[string]bool {
	set := make(map[string]bool)
	a := nested(b)
	_, list := a[unix.ETHTOOL_A_BITSET_NOMASK]
	each(a[unix.ETHTOOL_A_BITSET_BITS], func(_ uint16, value []byte) {
		bit := nested(value)
		_, on := bit[unix.ETHTOOL_A_BITSET_BIT_VALUE]
		if name := unix.ByteSliceToString(bit[unix.ETHTOOL_A_BITSET_BIT_NAME]); name != "" && (on || list) {
			set[name] = true
		}
	})
	return set
}

// xdpFeaturesOf returns what the driver says of its XDP; nil: not known.
func xdpFeaturesOf(ifindex int) *xdpFeatures {
	a, err := genl("netdev", 1, netdevDevGet, nl.NewRtAttr(netdevIfindex, nl.Uint32Attr(uint32(ifindex))))
	if err != nil || len(a[netdevXDPFeatures]) < 8 {
		return nil
	}
	bits := binary.NativeEndian.Uint64(a[netdevXDPFeatures])
	return &xdpFeatures{redirect: bits&actBasic != 0 && bits&actRedirect != 0, zeroCopy: bits&actZeroCopy != 0}
}
