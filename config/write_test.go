// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tunrouter/tunrouter/config"
)

func readFile(tb testing.TB, path string) string {
	tb.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return string(data)
}

func written(tb testing.TB, c *config.Config) string {
	tb.Helper()
	var b bytes.Buffer
	n, err := c.WriteTo(&b)
	if err != nil {
		tb.Fatalf("WriteTo: %v", err)
	}
	if n != int64(b.Len()) {
		tb.Errorf("WriteTo = %d, wrote %d bytes", n, b.Len())
	}
	return b.String()
}

// TestWriteTo writes a file that has every key.
func TestWriteTo(t *testing.T) {
	c := mustParse(t, readFile(t, "testdata/all.conf"))
	text := written(t, c)
	golden(t, "all.written", text)
	if diff := cmp.Diff(c, mustParse(t, text), same()); diff != "" {
		t.Errorf("parsed again (-want +got):\n%s", diff)
	}
}

// TestWriteWG writes what wg setconf accepts of it: no key of wg-quick, no [Router].
func TestWriteWG(t *testing.T) {
	c := mustParse(t, readFile(t, "testdata/all.conf"))
	var b bytes.Buffer
	if err := c.WriteWG(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "all.wg", b.String())
}

func TestWriteSmallest(t *testing.T) {
	c := mustParse(t, "[interface]\nprivatekey="+testPrivate)
	want := "[Interface]\nPrivateKey = " + testPrivate + "\n"
	if got := written(t, c); got != want {
		t.Errorf("WriteTo wrote %q, want %q", got, want)
	}
}

func TestWriteError(t *testing.T) {
	full := errors.New("full")
	c := mustParse(t, "[Interface]\nPrivateKey = "+testPrivate)
	if _, err := c.WriteTo(failing{full}); !errors.Is(err, full) {
		t.Errorf("WriteTo = %v, want %v", err, full)
	}
	if err := c.WriteWG(failing{full}); !errors.Is(err, full) {
		t.Errorf("WriteWG = %v, want %v", err, full)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// TestWriteRefuses: what would not come back as it is, is not written at all.
func TestWriteRefuses(t *testing.T) {
	c := mustParse(t, "[Interface]\nPrivateKey = "+testPrivate)
	c.Interface.PostUp = []string{"true\n[Peer]\nPublicKey = " + peerA}
	var b strings.Builder
	_, err := c.WriteTo(&b)
	var e *config.Error
	if !errors.As(err, &e) || b.Len() > 0 {
		t.Errorf("WriteTo = %v and wrote %q", err, b.String())
	}
	if err := c.WriteWG(&b); !errors.As(err, &e) || b.Len() > 0 {
		t.Errorf("WriteWG = %v and wrote %q", err, b.String())
	}
}
