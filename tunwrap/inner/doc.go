// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package inner reads the headers of the IP packets inside the tunnel.
//
// The hub and the filter call it, with packets that a peer made: every length in
// them is an attacker's. [Packet.Parse] never reads past the packet, says by
// [Problem] what is wrong with it, and claims no transport header that it has not
// seen whole.
//
// A Packet keeps nothing of the bytes it was made of, and nothing here allocates or
// is shared: safe for any number of goroutines with a Packet each.
package inner
