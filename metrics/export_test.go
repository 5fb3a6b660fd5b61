// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package metrics

import (
	"cmp"
	"slices"
	"time"
)

// A Family is what docs/METRICS.md says of one.
type Family struct {
	Name, Kind, Help string
	Labels           []string
	PerPeer          bool
}

// Families returns all families, router_build_info included, by name.
func Families() []Family {
	out := []Family{{Name: buildName, Kind: gauge.String(), Help: buildHelp, Labels: []string{"version", "commit", "goversion"}}}
	for _, f := range families(true) {
		device := cmp.Or(f.device, "device")
		out = append(out, Family{f.name, f.kind.String(), f.help, append([]string{device}, f.labels...), f.perPeer})
	}
	slices.SortFunc(out, func(a, b Family) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out
}

// MaxScrapes is how many scrapes there are at a time.
const MaxScrapes = maxScrapes

// SetTime changes how long a scrape may take. It is called before the first.
func (r *Registry) SetTime(d time.Duration) { r.time = d }
