// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap_test

import (
	"net/netip"
	"testing"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/tunwrap"
	"github.com/tunrouter/tunrouter/tunwrap/tuntest"
)

func TestDevice_kernel(t *testing.T) {
	for _, test := range []struct {
		name   string
		o      tunwrap.Options
		host   netip.Addr
		queues int
	}{
		{"batched", tunwrap.Options{}, hostV4, 1},
		{"batched IPv6", tunwrap.Options{}, hostV6, 1},
		{"batched 4 queues", tunwrap.Options{Queues: 4}, hostV4, 4},
		{"plain", tunwrap.Options{PlainReads: true}, hostV4, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			tuntest.TestDevice(t, func(t *testing.T) *tuntest.Fixture {
				testutil.NeedNetNS(t)
				testutil.LeakCheck(t)
				o := test.o
				o.Logger = testutil.Logger(t)
				l := newLab(t, &o)
				return socketFixture(t, l.dev, l.listen(t, test.host), test.queues)
			})
		})
	}
}
