// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"fmt"
	"time"
)

// writeService writes one section of [Proxy].
func (d *document) writeService(s *service) {
	fmt.Fprintf(d, "\n[%s]\n", s.kind.section)
	switch {
	case s.kind.tunnel:
		d.line("ListenPort", s.bind.Port)
	case s.kind.network != "":
		d.line("BindAddress", s.bind)
	}
	if !s.target.IsZero() {
		d.line("Target", s.target)
	}
	for _, l := range []struct{ key, value string }{
		{"Username", s.username}, {"Password", string(s.password)}, {"CertFile", s.certFile}, {"KeyFile", s.keyFile},
	} {
		if l.value != "" {
			d.line(l.key, iniQuote(l.value))
		}
	}
	if s.udp != SwitchUnset {
		d.line("UDP", s.udp)
	}
	if s.timeoutSet {
		d.line("InactivityTimeout", int64(s.timeout/time.Second))
	}
	if s.total != 0 {
		d.line("MaxConnections", s.total)
	}
	if s.perClient != 0 {
		d.line("MaxPerClient", s.perClient)
	}
	if s.strategy != ResolveUnset {
		d.line("ResolveStrategy", s.strategy)
	}
}
