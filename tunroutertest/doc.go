// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package tunroutertest gives tests a tunnel: two routers with WireGuard
// between them over loopback, as a program that embeds the engine runs them in
// netstack mode. It needs no root and changes nothing on the host. Only tests
// import it.
//
// [Pair] returns the networks of two hosts inside the tunnel, ready to dial and
// listen. What runs over net.Conn, net.Listener and net.PacketConn can be
// tested through it, as httptest does over loopback:
//
//	client, server := tunroutertest.Pair(t)
//	l, err := server.Listen("tcp", ":80")
//	…
//	hc := &http.Client{Transport: &http.Transport{DialContext: client.DialContext}}
//
// A pair ends with its test, by tb.Cleanup, and leaves no goroutine; what the
// test made on top of it (connections, an http.Server) the test closes. Tests
// with pairs of their own may run in parallel: pairs share nothing, and their
// sockets have ports that the system chose.
package tunroutertest
