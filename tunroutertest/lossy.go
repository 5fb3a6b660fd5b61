// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunroutertest

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
)

// socketBuffer is asked for, so that only what is meant to be lost is.
const socketBuffer = 4 << 20

// startLossy returns an address at which datagrams to the router at listener
// arrive, except for the part that is lost; what the router answers goes back
// to where the last datagram came from. It ends with the test.
func startLossy(tb testing.TB, listener netip.AddrPort, loss float64) netip.AddrPort {
	tb.Helper()
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
	if err != nil {
		tb.Fatalf("tunroutertest: %v", err)
	}
	conn.SetReadBuffer(socketBuffer) // as much of it as the system gives
	var done sync.WaitGroup
	done.Go(func() { carry(conn, listener, loss) })
	tb.Cleanup(func() {
		conn.Close()
		done.Wait()
	})
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// carry passes datagrams on until conn is closed.
func carry(conn *net.UDPConn, listener netip.AddrPort, loss float64) {
	var caller netip.AddrPort
	there, back := lossDice(loss), lossDice(loss)
	buf := make([]byte, 1<<16)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		to, lost := listener, there
		if from == listener {
			to, lost = caller, back
		} else {
			caller = from
		}
		if to.IsValid() && !lost() {
			conn.WriteToUDPAddrPort(buf[:n], to) // an error is one more loss
		}
	}
}

// lossDice returns a function that says of each datagram whether it is lost:
// at random, so that no rhythm of the traffic meets one of the losses, but the
// same in every run.
func lossDice(loss float64) func() bool {
	dice := rand.New(rand.NewPCG(1, 2))
	return func() bool { return dice.Float64() < loss }
}
