// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap_test

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/tunrouter/tunrouter/tunwrap"
)

// A TUN interface with a queue for each of four processors. It needs
// CAP_NET_ADMIN; the error says so, and what else can be done.
func ExampleCreate() {
	dev, err := tunwrap.Create("wg0", &tunwrap.Options{Queues: 4, Logger: slog.Default()})
	var ce *tunwrap.CreateError
	if errors.As(err, &ce) {
		fmt.Println(ce.Err, "-", ce.Remedy)
		return
	}
	defer dev.Close()
	for i, q := range dev.Stats().Queues {
		fmt.Println("queue", i, "batched", q.Batched)
	}
}
