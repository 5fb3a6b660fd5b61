// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build !linux

package batching

import "net/netip"

// A rawDestination is empty: the net package encodes the address.
type rawDestination struct{}

func encode(netip.AddrPort, netip.Addr, uint32) rawDestination { return rawDestination{} }
