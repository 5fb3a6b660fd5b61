// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package metrics

// serviceFamilies are those of proxies, forwards and the subnet router.
func serviceFamilies() []family {
	of := func(name string, k kind, help string, sample func(v *Service, w *writer, l ...string), more ...string) family {
		return family{name: name, kind: k, help: help, labels: append([]string{"section", "listen", "target"}, more...),
			samples: func(s *Snapshot, w *writer) {
				for i := range s.Services {
					v := &s.Services[i]
					sample(v, w, v.Section, v.Listen, v.Target)
				}
			}}
	}
	pair := func(name, help string, out, in func(v *Service) uint64) family {
		return of(name, counter, help, func(v *Service, w *writer, l ...string) {
			w.count(in(v), l[0], l[1], l[2], "in")
			w.count(out(v), l[0], l[1], l[2], "out")
		}, "direction")
	}
	reasons := func(name, help string, cs func(v *Service) []Count) family {
		return of(name, counter, help, func(v *Service, w *writer, l ...string) {
			for _, c := range cs(v) {
				w.count(c.N, l[0], l[1], l[2], word(c.Name))
			}
		}, "reason")
	}
	return []family{
		of("router_service_active_flows", gauge, "Flows of a service now: connections, and datagrams between two addresses.",
			func(v *Service, w *writer, l ...string) { w.number(v.Active, l...) }),
		of("router_service_flows_total", counter, "Flows that a service took.",
			func(v *Service, w *writer, l ...string) { w.count(v.Accepted, l...) }),
		pair("router_service_bytes_total", "Bytes of payload of a service into the tunnel (out) and out of it (in).",
			func(v *Service) uint64 { return v.BytesOut }, func(v *Service) uint64 { return v.BytesIn }),
		pair("router_service_datagrams_total", "Datagrams of a service into the tunnel (out) and out of it (in).",
			func(v *Service) uint64 { return v.DatagramsOut }, func(v *Service) uint64 { return v.DatagramsIn }),
		reasons("router_service_failures_total", "Flows of a service that came to nothing or to an early end, by reason.", func(v *Service) []Count { return v.Failures }),
		reasons("router_service_dropped_datagrams_total", "Datagrams of a service that were not handed on, by reason.", func(v *Service) []Count { return v.Dropped }),
	}
}

// merged adds up services that have the same labels.
func merged(in []Service) []Service {
	type labels struct{ section, listen, target string }
	at := make(map[labels]int, len(in))
	out := make([]Service, 0, len(in))
	for i := range in {
		v := &in[i]
		key := labels{v.Section, v.Listen, v.Target}
		j, ok := at[key]
		if !ok {
			at[key] = len(out)
			out = append(out, *v)
			continue
		}
		to := &out[j]
		to.Active += v.Active
		to.Accepted += v.Accepted
		to.BytesOut += v.BytesOut
		to.BytesIn += v.BytesIn
		to.DatagramsOut += v.DatagramsOut
		to.DatagramsIn += v.DatagramsIn
		to.Failures = both(to.Failures, v.Failures)
		to.Dropped = both(to.Dropped, v.Dropped)
	}
	return out
}

func both(a, b []Count) []Count {
	var s sums
	s.add(a)
	s.add(b)
	return s
}
