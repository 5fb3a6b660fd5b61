// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

const (
	// defaultMTU is assumed when no route tells: Ethernet.
	defaultMTU = 1500

	// overhead is what a packet grows by in the tunnel over IPv6: 40 IPv6, 8
	// UDP, 32 WireGuard (16 header, 16 authentication tag). Over IPv4 it is 60;
	// the larger is used always, as by wg-quick, since peers roam.
	overhead = 80

	// minIPv6MTU is the least MTU IPv6 works with (RFC 8200 section 5). Linux
	// takes IPv6 off an interface below it.
	minIPv6MTU = 1280
)

// computeMTU returns the MTU of the interface. paths are the MTUs of the routes
// to the endpoints, byDefault that of the default route; zero means unknown.
// The smallest path counts, as in wg-quick since 2025; before, it was the
// largest, with which packets to the other peers did not fit.
func computeMTU(paths []int, byDefault int) int {
	mtu := 0
	for _, m := range paths {
		if m > 0 && (mtu == 0 || m < mtu) {
			mtu = m
		}
	}
	if mtu == 0 {
		mtu = byDefault
	}
	if mtu == 0 {
		mtu = defaultMTU
	}
	return mtu - overhead
}
