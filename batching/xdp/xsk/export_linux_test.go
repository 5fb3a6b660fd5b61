// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xsk

// PretendZeroCopy makes s wait as it does in zero-copy mode, which a veth pair cannot
// do. Call it before s is used.
func PretendZeroCopy(s *Socket) { s.zeroCopy = true }

// Registered reports whether s registered the memory that it uses.
func Registered(s *Socket) bool { return s.registered }
