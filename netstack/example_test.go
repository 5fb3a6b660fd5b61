// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack_test

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"sync/atomic"

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

// A client that is given names, which it resolves through the tunnel: nothing of
// it reaches the network or the resolver of the program's own host.
func ExampleOptions_names() {
	server, err := netstack.New(&netstack.Options{Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	client, err := netstack.New(&netstack.Options{
		Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.2")},
		DNS:       []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:53")},
		Search:    []string{"example.com"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	join(server, client) // in place of a tunnel
	join(client, server)

	pc, err := server.Net().ListenPacket("udp", ":53")
	if err != nil {
		fmt.Println(err)
		return
	}
	go answerNames(pc, names{"intranet.example.com.": {netip.MustParseAddr("10.0.0.1")}}, new(atomic.Int32))
	l, err := server.Net().Listen("tcp", ":80")
	if err != nil {
		fmt.Println(err)
		return
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello, %s", r.Host)
	}))

	hc := &http.Client{Transport: &http.Transport{DialContext: client.Net().DialContext}}
	resp, err := hc.Get("http://intranet/")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(string(body), err)
	// Output: hello, intranet <nil>
}

// join carries what from sends to to, until either is closed.
func join(from, to *netstack.Device) {
	for _, q := range from.Queues() {
		go func() {
			slab := make([]byte, 2*65535)
			packets := make([]tun.ReadPacket, from.BatchSize())
			for {
				n, err := q.Read(slab, packets)
				if err != nil {
					return
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
