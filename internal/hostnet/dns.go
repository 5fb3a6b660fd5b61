// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import (
	"bufio"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// A dnsRecord is what is registered with resolvconf.
type dnsRecord struct {
	name    string // the interface's, with resolvconf's prefix
	servers []netip.Addr
	search  []string
}

func (d *dnsRecord) equal(o *dnsRecord) bool {
	return d != nil && o != nil && d.name == o.name && slices.Equal(d.servers, o.servers) && slices.Equal(d.search, o.search)
}

// text is the record in the form of resolv.conf(5).
func (d *dnsRecord) text() string {
	var b strings.Builder
	for _, s := range d.servers {
		b.WriteString("nameserver " + s.String() + "\n")
	}
	if len(d.search) > 0 {
		b.WriteString("search " + strings.Join(d.search, " ") + "\n")
	}
	return b.String()
}

// ResolvConf returns the text of a resolv.conf(5) with these name servers and search
// domains.
func ResolvConf(servers []netip.Addr, search []string) string {
	return (&dnsRecord{servers: servers, search: search}).text()
}

// orderPattern is a line of Debian's /etc/resolvconf/interface-order that names
// a class of interfaces.
const orderPattern = `^([A-Za-z0-9-]+)\*$`

// recordPrefix returns the prefix under which Debian's resolvconf sorts a
// record to the top: its first class of interfaces, and a dot.
func recordPrefix(interfaceOrder io.Reader) string {
	class := regexp.MustCompile(orderPattern)
	lines := bufio.NewScanner(interfaceOrder)
	for lines.Scan() {
		if m := class.FindStringSubmatch(strings.TrimSpace(lines.Text())); m != nil {
			return m[1] + "."
		}
	}
	return ""
}
