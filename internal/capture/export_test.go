// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package capture

// Match reports whether the filter wants the packet.
func Match(f *Filter, p *Packet) bool { return f.match(p) }
