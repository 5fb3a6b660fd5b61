// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package disco_test

import (
	"crypto/rand"
	"fmt"
	"net/netip"
	"time"

	"github.com/tunrouter/tunrouter/peers/disco"
)

// Two routers find out over one path that they can reach each other: A asks, B
// finds the sender by the tag, opens the frame and answers where it came from.
func Example() {
	var privateA, privateB disco.Key
	rand.Read(privateA[:])
	rand.Read(privateB[:])
	a, b := disco.NewIdentity(privateA), disco.NewIdentity(privateB)
	toB, err := a.Pair(disco.DomainPeer, b.Public())
	if err != nil {
		fmt.Println(err)
		return
	}
	toA, err := b.Pair(disco.DomainPeer, a.Public())
	if err != nil {
		fmt.Println(err)
		return
	}
	epoch := disco.Epoch(time.Now())

	ping := disco.Ping{Pad: 1200}
	rand.Read(ping.TxID[:])
	question := toB.Seal(nil, epoch, ping.AppendBody(nil))

	senders := map[disco.Tag]*disco.Pair{toA.ReceiveTag(epoch): toA}
	if !disco.IsFrame(question) {
		fmt.Println("something else")
		return
	}
	sender, ok := senders[disco.FrameTag(question)]
	if !ok {
		fmt.Println("from nobody that is known")
		return
	}
	body, err := sender.Open(nil, question)
	if err != nil {
		fmt.Println(err)
		return
	}
	kind, err := disco.BodyType(body)
	fmt.Println(kind, err, len(question), "bytes")

	var asked disco.Ping
	if err := asked.Decode(body); err != nil {
		fmt.Println(err)
		return
	}
	pong := disco.Pong{TxID: asked.TxID, Observed: netip.MustParseAddrPort("192.0.2.1:51820"), Size: asked.Pad}
	answer := sender.Seal(nil, epoch, pong.AppendBody(nil))

	body, err = toB.Open(nil, answer)
	if err != nil {
		fmt.Println(err)
		return
	}
	var answered disco.Pong
	if err := answered.Decode(body); err != nil || answered.TxID != ping.TxID {
		fmt.Println("not the answer", err)
		return
	}
	fmt.Println("pong: I am seen at", answered.Observed, "and", answered.Size, "bytes get through")
	// Output:
	// ping <nil> 1200 bytes
	// pong: I am seen at 192.0.2.1:51820 and 1200 bytes get through
}
