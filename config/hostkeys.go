// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

// HostKeys returns the names of those keys in use that are about the host around a
// kernel TUN, and mean nothing without one that this host uses.
func (i *Interface) HostKeys() []string {
	return named([]change{
		{"Table", i.Table.Mode != TableAuto},
		{"PreUp", len(i.PreUp) > 0},
		{"PostUp", len(i.PostUp) > 0},
		{"PreDown", len(i.PreDown) > 0},
		{"PostDown", len(i.PostDown) > 0},
		{"SaveConfig", i.SaveConfig},
	})
}
