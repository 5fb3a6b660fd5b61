// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/tunwrap"
)

// TestCreate_arguments checks what is refused before the kernel is asked.
func TestCreate_arguments(t *testing.T) {
	for _, test := range []struct {
		name string
		o    tunwrap.Options
		want string // in the message, beside the remedy
	}{
		{"", tunwrap.Options{}, "not an interface name"},
		{".", tunwrap.Options{}, "not an interface name"},
		{"..", tunwrap.Options{}, "not an interface name"},
		{"a/b", tunwrap.Options{}, "not an interface name"},
		{"a b", tunwrap.Options{}, "not an interface name"},
		{"a\tb", tunwrap.Options{}, "not an interface name"},
		{"a:b", tunwrap.Options{}, "not an interface name"},
		{"a\x00b", tunwrap.Options{}, "not an interface name"},
		{"a%db%d", tunwrap.Options{}, "not an interface name"},
		{"100%", tunwrap.Options{}, "not an interface name"},
		{"sixteen-letters-", tunwrap.Options{}, "not an interface name"},
		{"wg0", tunwrap.Options{Queues: -1}, "out of range: -1"},
		{"wg0", tunwrap.Options{Queues: 257}, "out of range: 257"},
		{"wg0", tunwrap.Options{TxQueueLen: -1}, "out of range: -1"},
		{"wg0", tunwrap.Options{TxQueueLen: 1<<20 + 1}, "out of range: 1048577"},
		{"wg0", tunwrap.Options{MTU: 67}, "out of range: 67"},
		{"wg0", tunwrap.Options{MTU: 65536}, "out of range: 65536"},
	} {
		d, err := tunwrap.Create(test.name, &test.o)
		var ce *tunwrap.CreateError
		if d != nil || !errors.As(err, &ce) {
			t.Errorf("Create(%q, %+v) = %v, %v, want a CreateError", test.name, test.o, d, err)
			continue
		}
		if ce.Name != test.name || ce.Remedy == "" || !strings.Contains(err.Error(), ce.Remedy) ||
			!strings.Contains(err.Error(), test.want) || errors.Unwrap(err) == nil {
			t.Errorf("Create(%q): %v, want %q and the remedy", test.name, err, test.want)
		}
	}
}

func TestFromFiles_none(t *testing.T) {
	var ce *tunwrap.CreateError
	if d, err := tunwrap.FromFiles(nil, nil); d != nil || !errors.As(err, &ce) {
		t.Errorf("FromFiles(nil) = %v, %v, want a CreateError", d, err)
	}
}
