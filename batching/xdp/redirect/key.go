// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package redirect

import (
	"fmt"
	"net/netip"
)

// keyLen is the length of a key of the address map.
const keyLen = 20

// A key is a destination address as the program looks it up:
//
//	 0              4                                    16       20
//	+---------------+------------------------------------+---------+
//	| IPv4 address  | 0                                  | 4 0 0 0 |
//	| IPv6 address                                       | 6 0 0 0 |
//	+---------------+------------------------------------+---------+
//
// The family keeps 1.2.3.4 and 102:304:: apart.
type key [keyLen]byte

// keyOf returns the key of an address of a host. An IPv4-mapped address is the
// IPv4 one; a zone is ignored, because a program sees one interface only.
func keyOf(a netip.Addr) (k key, err error) {
	a = a.Unmap().WithZone("")
	if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return k, fmt.Errorf("%w: %v", ErrAddress, a)
	}
	copy(k[:], a.AsSlice())
	k[16] = 4
	if a.Is6() {
		k[16] = 6
	}
	return k, nil
}

// keysOf returns the set of keys of addrs, of which there may be limit.
func keysOf(addrs []netip.Addr, limit int) (map[key]bool, error) {
	keys := make(map[key]bool, len(addrs))
	for _, a := range addrs {
		k, err := keyOf(a)
		if err != nil {
			return nil, err
		}
		keys[k] = true
	}
	if len(keys) > limit {
		return nil, fmt.Errorf("%w: %d, want at most %d", ErrTooManyAddresses, len(keys), limit)
	}
	return keys, nil
}
