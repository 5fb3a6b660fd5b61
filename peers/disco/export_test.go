// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package disco

import "io"

// SetRand replaces the source of nonces of pairs that id makes from now on.
func (id *Identity) SetRand(r io.Reader) { id.rand = r }
