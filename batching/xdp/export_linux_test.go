// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp

// ForceVLAN makes an underlay behave as if its interface were that of a VLAN on top of
// it, also where the kernel has no VLAN devices.
func ForceVLAN(o *Options, id uint16) { o.vlan = id }
