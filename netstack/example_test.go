// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack_test

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"

	"github.com/tailscale/wireguard-go/tun"

	"github.com/tunrouter/tunrouter/netstack"
)

// Two hosts in one process, joined by a loop in place of a tunnel, talk HTTP.
// With wireguard-go, pass each Device to device.NewDevice instead of the loop.
func ExampleNet() {
	server, err := netstack.New(&netstack.Options{Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	client, err := netstack.New(&netstack.Options{Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.2")}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	join := func(from, to *netstack.Device) {
		for _, q := range from.Queues() {
			go func() {
				slab := make([]byte, 2*65535)
				packets := make([]tun.ReadPacket, from.BatchSize())
				for {
					n, err := q.Read(slab, packets)
					if err != nil {
						return // from is closed
					}
					bufs := make([][]byte, n)
					for i, p := range packets[:n] {
						bufs[i] = slab[p.Offset : p.Offset+p.Size]
					}
					to.Write(bufs, 0)
				}
			}()
		}
	}
	join(server, client)
	join(client, server)

	l, err := server.Net().Listen("tcp", ":80")
	if err != nil {
		fmt.Println(err)
		return
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello, %s", r.URL.Path[1:])
	}))

	hc := &http.Client{Transport: &http.Transport{DialContext: client.Net().DialContext}}
	resp, err := hc.Get("http://10.0.0.1/tunnel")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(string(body), err)
	// Output: hello, tunnel <nil>
}
