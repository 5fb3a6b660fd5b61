// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package disco_test

import (
	"errors"
	"testing"

	"github.com/tunrouter/tunrouter/peers/disco"
)

// TestIdentityPublic uses the keys of RFC 7748 section 6.1.
func TestIdentityPublic(t *testing.T) {
	private := disco.Key(unhex(t, "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"))
	want := disco.Key(unhex(t, "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"))
	if got := disco.NewIdentity(private).Public(); got != want {
		t.Errorf("Public: got %x, want %x", got, want)
	}
}

// TestPairRefusesKeys has the points of low order, in their canonical forms and
// with the bit set that X25519 ignores.
func TestPairRefusesKeys(t *testing.T) {
	id := identity(1)
	for _, tt := range []struct{ name, key string }{
		{"zero", zeros(32)},
		{"one", "01" + zeros(31)},
		{"order 8", "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"},
		{"order 8, other", "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"},
		{"p-1", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
		{"p", "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
		{"p+1", "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key := disco.Key(unhex(t, tt.key))
			for range 2 {
				if p, err := id.Pair(disco.DomainPeer, key); !errors.Is(err, disco.ErrKey) || p != nil {
					t.Errorf("Pair with %x: got %v, %v, want ErrKey", key, p, err)
				}
				key[31] |= 0x80
			}
		})
	}
	if _, err := id.Pair(disco.DomainPeer, id.Public()); !errors.Is(err, disco.ErrKey) {
		t.Errorf("Pair with itself: got %v, want ErrKey", err)
	}
	for _, d := range []disco.Domain{0, disco.DomainRelay + 1} {
		if _, err := id.Pair(d, identity(2).Public()); err == nil {
			t.Errorf("Pair in %v: got no error", d)
		}
	}
}

func TestDomainString(t *testing.T) {
	for d, want := range map[disco.Domain]string{
		0: "domain(0)", disco.DomainPeer: "tunrouter disco v1", disco.DomainRelay: "tunrouter relay v1", 3: "domain(3)",
	} {
		if got := d.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
