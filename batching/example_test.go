// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package batching_test

import (
	"fmt"
	"log"
	"net/netip"

	"github.com/tunrouter/tunrouter/batching"
)

func Example() {
	loopback := netip.MustParseAddrPort("127.0.0.1:0")
	server, err := batching.Listen("udp4", loopback, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	client, err := batching.Listen("udp4", loopback, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	dst := batching.NewDestination(server.LocalAddr(), netip.Addr{}, 0)
	packets := [][]byte{[]byte("one"), []byte("two"), []byte("3")}
	if _, err := client.WriteBatch(packets, 0, dst, 0); err != nil {
		log.Fatal(err)
	}

	slab, pkts := make([]byte, 1<<17), make([]batching.Packet, batching.MaxBatch)
	for read := 0; read < len(packets); {
		n, err := server.ReadBatch(slab, pkts)
		if err != nil {
			log.Fatal(err)
		}
		for _, p := range pkts[:n] {
			fmt.Printf("%s\n", slab[p.Offset:p.Offset+p.Size])
		}
		read += n
	}
	// Output:
	// one
	// two
	// 3
}
