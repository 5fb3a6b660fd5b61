// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap

import "os"

// OpenQueues calls openQueues for defaults filled in.
func OpenQueues(name string, o *Options, open func(string, uint16) (int, error)) ([]*os.File, error) {
	opts := o.withDefaults()
	return openQueues(name, &opts, open)
}
