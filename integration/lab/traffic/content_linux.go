// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package traffic

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
)

// chunk is how much is written and read at once.
const chunk = 64 << 10

// A pattern is an endless stream of bytes that never repeats within a test and
// differs between seeds.
type pattern struct{ r *rand.ChaCha8 }

func newPattern(seed uint64) *pattern {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	return &pattern{rand.NewChaCha8(key)}
}

func (p *pattern) fill(b []byte) { p.r.Read(b) } // never fails

// A checker compares what is written to it with a pattern.
type checker struct {
	want *pattern
	n    int64 // bytes that were right
	buf  []byte
}

func newChecker(seed uint64) *checker {
	return &checker{want: newPattern(seed), buf: make([]byte, chunk)}
}

// ReadFrom reads r to its end and returns an error at the first wrong byte.
func (c *checker) ReadFrom(r io.Reader) (int64, error) {
	got := make([]byte, chunk)
	for {
		n, err := r.Read(got)
		if cerr := c.check(got[:n]); cerr != nil {
			return c.n, cerr
		}
		if err == io.EOF {
			return c.n, nil
		}
		if err != nil {
			return c.n, err
		}
	}
}

func (c *checker) check(got []byte) error {
	want := c.buf[:len(got)]
	c.want.fill(want)
	if !bytes.Equal(got, want) {
		for i := range got {
			if got[i] != want[i] {
				return fmt.Errorf("byte %d is %#02x, want %#02x", c.n+int64(i), got[i], want[i])
			}
		}
	}
	c.n += int64(len(got))
	return nil
}
