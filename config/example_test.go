// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config_test

import (
	"fmt"
	"strings"

	"github.com/tunrouter/tunrouter/config"
)

// All mistakes of a file come at once.
func ExampleParse() {
	_, err := config.Parse(strings.NewReader(`[Interface]
PrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=
Adress = 10.0.0.1/24
[Peer]
PublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
AllowedIPs = 10.0.0.0/33
`), "wg0.conf")
	fmt.Println(err)
	// Output:
	// wg0.conf:3: Adress: unknown key in [Interface]; did you mean Address?
	// wg0.conf:6: AllowedIPs: "10.0.0.0/33" is not an address range; write ADDRESS/BITS, for example 10.0.0.0/24
}

// A reload looks at what changed.
func ExampleDiff() {
	before, _ := config.Parse(strings.NewReader(`[Interface]
PrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=
[Peer]
PublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
`), "before.conf")
	after, _ := config.Parse(strings.NewReader(`[Interface]
PrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=
ListenPort = 51820
[Peer]
PublicKey = xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=
AllowedIPs = 10.0.0.0/24
`), "after.conf")
	changes := config.Diff(before, after)
	fmt.Println(changes.Interface.Names())
	for _, c := range changes.Changed {
		fmt.Println(c.Names(), c.AllowedIPsAdded)
	}
	// Output:
	// [ListenPort]
	// [AllowedIPs] [10.0.0.0/24]
}
