// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package traffic

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"

	"github.com/tunrouter/tunrouter/integration/lab"
	"golang.org/x/sys/unix"
)

// Inject sends an IPv4 packet as it is, from any address, out of the host.
func Inject(h *lab.Host, packets ...[]byte) error {
	return h.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for _, b := range packets {
			if err := unix.Sendto(fd, b, 0, &unix.SockaddrInet4{Addr: [4]byte(b[16:20])}); err != nil {
				return err
			}
		}
		return nil
	})
}

// WritePcap writes the datagrams of IPv4 as a file that tshark(1) reads.
func WritePcap(name string, frames []Frame) error {
	const magic, raw = 0xa1b2c3d4, 101 // LINKTYPE_RAW
	b := binary.LittleEndian.AppendUint32(nil, magic)
	b = append(b, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, 1<<16)
	b = binary.LittleEndian.AppendUint32(b, raw)
	for _, f := range frames {
		if !f.Src.Addr().Is4() {
			return fmt.Errorf("%s is not of IPv4", f.Src)
		}
		packet := OuterUDP(f.Src, f.Dst, f.Payload)
		b = binary.LittleEndian.AppendUint32(b, uint32(f.At.Unix()))
		b = binary.LittleEndian.AppendUint32(b, uint32(f.At.Nanosecond()/1000))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(packet)))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(packet)))
		b = append(b, packet...)
	}
	return os.WriteFile(name, b, 0o644)
}

// OuterUDP returns a datagram as an IP packet, from any address.
func OuterUDP(src, dst netip.AddrPort, payload []byte) []byte {
	return Packet{Src: src.Addr(), Dst: dst.Addr(), Protocol: unix.IPPROTO_UDP, Payload: UDPBytes(src, dst, payload)}.Bytes()
}
