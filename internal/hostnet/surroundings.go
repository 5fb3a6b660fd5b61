// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import "net/netip"

// Surroundings are what the host's routing tables say of addresses, seen from one
// interface.
type Surroundings struct {
	// Own are the addresses of the interface.
	Own []netip.Addr
	// Local are the addresses of the host, and others that end there, as broadcast.
	Local []netip.Prefix
	// Networks are reached by other interfaces, or explicitly not at all. Default
	// routes are left out.
	Networks []netip.Prefix
	// Default4 and Default6 say whether some table has a default route to the
	// interface.
	Default4, Default6 bool
}
