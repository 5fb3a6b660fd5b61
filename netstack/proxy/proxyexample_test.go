// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy_test

import (
	"context"
	"log"
	"os"
	"os/signal"

	"github.com/tunrouter/tunrouter/netstack"
	"github.com/tunrouter/tunrouter/netstack/proxy"
)

// This offers a tunnel to the programs of this host. A device needs a tunnel to
// drive it, which is left out here.
func ExampleListenSOCKS5() {
	device, err := netstack.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer device.Close()
	socks, err := proxy.ListenSOCKS5(device.Net(), &proxy.SOCKS5Options{Listen: "127.0.0.1:1080"})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := socks.Run(ctx); err != nil {
		log.Print(err)
	}
}
