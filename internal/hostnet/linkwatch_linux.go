// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import "fmt"

func newLinkQuery(index int) (linkQuery, error) {
	if index <= 0 {
		return nil, fmt.Errorf("watch interface %d: %w", index, ErrLinkGone)
	}
	q, err := openStatsQuery(index)
	if err != nil {
		return nil, fmt.Errorf("watch interface %d: %w", index, err)
	}
	return q, nil
}
