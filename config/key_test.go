// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/config"
)

func TestKeyForms(t *testing.T) {
	k := mustKey(t, testPrivate)
	if got := k.String(); got != testPrivate {
		t.Errorf("String() = %s, want %s", got, testPrivate)
	}
	if got := k.Hex(); got != hex.EncodeToString(k[:]) || len(got) != 64 {
		t.Errorf("Hex() = %s", got)
	}
	if k.IsZero() || !(config.Key{}).IsZero() {
		t.Error("IsZero is wrong")
	}
}

func TestKeyPublic(t *testing.T) {
	// What wg pubkey prints for the key of the example in wg(8).
	if got := mustKey(t, testPrivate).Public().String(); got != testPublic {
		t.Errorf("Public() = %s, want %s", got, testPublic)
	}
	// RFC 7748 section 6.1, Alice; her private key is not clamped.
	var private config.Key
	if _, err := hex.Decode(private[:], []byte("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")); err != nil {
		t.Fatal(err)
	}
	const want = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
	if got := private.Public().Hex(); got != want {
		t.Errorf("Public() = %s, want %s", got, want)
	}
}

func TestGenerateKey(t *testing.T) {
	a, err := config.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	b, err := config.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	if a == b {
		t.Error("two keys are equal")
	}
	for _, k := range []config.Key{a, b} {
		if k[0]&7 != 0 || k[31]&0xc0 != 0x40 {
			t.Errorf("key %x is not clamped", k[:])
		}
	}
	psk, err := config.GeneratePresharedKey()
	if err != nil || psk.IsZero() {
		t.Errorf("GeneratePresharedKey = zero %t, %v", psk.IsZero(), err)
	}
}

func TestParseKeyErrors(t *testing.T) {
	tests := map[string]string{
		"empty":            "",
		"short":            testPrivate[:43],
		"long":             testPrivate + "=",
		"space":            " " + testPrivate[:43],
		"no padding":       testPrivate[:43] + "A",
		"url alphabet":     strings.ReplaceAll(testPrivate, "+", "-"),
		"unused bits set":  testPrivate[:42] + "l=",
		"33 bytes":         strings.Repeat("A", 44),
		"31 bytes":         strings.Repeat("A", 42) + "==",
		"line end inside":  testPrivate[:20] + "\n" + testPrivate[20:43],
		"line end in 44":   testPrivate[:21] + "\n" + testPrivate[22:],
		"hexadecimal":      strings.Repeat("ab", 22),
		"not even base64 ": strings.Repeat("%", 44),
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			k, err := config.ParseKey(text)
			if err == nil {
				t.Fatalf("ParseKey = %v, want an error", k)
			}
			if !k.IsZero() {
				t.Error("key is not zero beside an error")
			}
			if len(text) > 4 && strings.Contains(err.Error(), text[:5]) {
				t.Errorf("error %q repeats the text", err)
			}
		})
	}
}

// TestLogsHideKeys logs and prints everything that holds a key.
func TestLogsHideKeys(t *testing.T) {
	c := mustParse(t, "[Interface]\nPrivateKey="+testPrivate+"\n[Peer]\nPublicKey="+peerA+"\nPresharedKey="+testPSK)
	changes := config.Diff(nil, c)
	values := map[string]any{
		"key":       c.Interface.PrivateKey,
		"config":    c,
		"value":     *c,
		"interface": c.Interface,
		"peer":      c.Peers[0],
		"changes":   changes,
	}
	var out bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		for name, v := range values {
			slog.New(h).LogAttrs(context.Background(), slog.LevelInfo, "test", slog.Any(name, v))
		}
	}
	for name, v := range values {
		if name != "key" { // its verbs print public keys, too
			fmt.Fprintf(&out, "%v %+v %#v %s\n", v, v, v, v)
		}
	}
	fmt.Fprintf(&out, "%+v\n", c.Peers)
	if !strings.Contains(out.String(), peerA) {
		t.Error("public key is missing")
	}
	for _, secret := range []config.Key{mustKey(t, testPrivate), mustKey(t, testPSK)} {
		array := strings.Trim(fmt.Sprint(secret[:8]), "[]")
		for _, form := range []string{secret.String(), secret.Hex(), array, strings.ReplaceAll(array, " ", ",")} {
			if strings.Contains(out.String(), form) {
				t.Errorf("output contains the secret as %s", form)
			}
		}
	}
}
