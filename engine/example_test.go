// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/engine"
)

// A router without privilege inside a program: it needs no TUN and changes
// nothing on the host, and the program dials through the tunnel.
func Example() {
	key, err := config.GenerateKey()
	if err != nil {
		panic(err)
	}
	peer, err := config.GenerateKey()
	if err != nil {
		panic(err)
	}
	cfg, err := config.Parse(strings.NewReader(fmt.Sprintf(`
		[Interface]
		PrivateKey = %s
		Address = 10.0.0.1/24
		[Peer]
		PublicKey = %s
		AllowedIPs = 10.0.0.2/32
		[Router]
		Mode = netstack
	`, key, peer.Public())), "example")
	if err != nil {
		panic(err)
	}
	e, err := engine.New(cfg, &engine.Options{NoControl: true})
	if err != nil {
		panic(err)
	}
	defer e.Close()
	l, err := e.Net().Listen("tcp", "10.0.0.1:80")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr())
	// Output: 10.0.0.1:80
}

// A gateway: what router up does.
func ExampleEngine_Run() {
	path := "/etc/wireguard/wg0.conf"
	cfg, err := config.Load(path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	e, err := engine.New(cfg, &engine.Options{
		Logger:      slog.Default(),
		HostNetwork: true,
		Load:        func() (*config.Config, error) { return config.Load(path) },
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := e.Run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}
