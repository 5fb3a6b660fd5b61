// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching_test

import (
	"testing"

	"github.com/tunrouter/tunrouter/batching"
)

func TestHistogramBuckets(t *testing.T) {
	var h batching.Histogram
	last := len(h) - 1
	for i := range h {
		bound := h.Bound(i)
		if i == last {
			if bound != 0 {
				t.Errorf("bound of the last bucket: got %d, want 0", bound)
			}
			bound = 1 << 20
		} else if bound != 1<<i {
			t.Errorf("bound of bucket %d: got %d, want %d", i, bound, 1<<i)
		}
		if got := batching.Bucket(bound); got != i {
			t.Errorf("bucket of %d: got %d, want %d", bound, got, i)
		}
		if got := batching.Bucket(h.Bound(min(i, last-1)) + 1); i < last && got != i+1 {
			t.Errorf("bucket of %d: got %d, want %d", bound+1, got, i+1)
		}
	}
	if got := batching.Bucket(0); got != 0 {
		t.Errorf("bucket of 0: got %d, want 0", got)
	}
}
