// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package uapi speaks WireGuard's configuration protocol, the text protocol on
// /var/run/wireguard/NAME.sock that wg(8), wg-quick(8), wgctrl and the metric
// exporters use (https://www.wireguard.com/xplatform/): types for its two
// messages with their text forms, a server and a client.
//
// A program that is configured over the socket calls [Listen] and
// [Server.Serve] with a [Handler]; engine does. A program that asks one calls
// [Dial]; the command line does. Code that only needs the text form, for
// instance to drive a wireguard-go device, uses [SetRequest.AppendTo],
// [ParseSet], [Device.AppendTo] and [ParseDevice].
//
// # Protocol
//
//	get=1\n\n                           -> device and peer keys, errno=0\n\n
//	set=1\n then key=value\n … then \n   -> errno=0\n\n
//	reload=1\n\n                        -> [message=text\n …] errno=0\n\n
//	ask=name\n then key=value\n … then \n -> [json=text\n …] [message=text\n …] errno=0\n\n
//	stream=name\n then as ask           -> [data=N\n N bytes …] and then as ask
//
// reload is an extension: re-read the configuration file. So is ask: a question to
// an [Asker], whose answer is one JSON text, cut into lines where it is long. A
// question that nobody knows is -EOPNOTSUPP. stream is one to a [Streamer], and the last
// request of its connection: bytes follow until there are no more, or until the client
// sends something or closes its side, and then the answer. Any number of other requests
// may follow each other on one connection. Keys are 64 hex digits, an endpoint is always
// a real address and port. errno is 0 or one of the negative codes EIO, EPROTO, EINVAL,
// EADDRINUSE, EOPNOTSUPP, or -55 for everything else.
//
// A request is read up to its blank line and parsed as a whole before the
// handler sees it, so a mistyped or cut-off request changes nothing. After a
// mistake the rest of the request is read away and the connection stays usable.
//
// # Secrets
//
// No error and no log line of this package contains the value of a key=value
// line whose key is secret or unknown. [Device] and [SetRequest] print
// themselves without keys.
//
// # Memory
//
// Nothing here is on the packet path. A request takes at most
// [Options.MaxRequest] bytes of text per connection and a small multiple of
// that when parsed; lines are limited to 4 KiB. At most [Options.MaxConns]
// connections are kept. The bytes that the parsers read are not retained.
//
// # Concurrency
//
// A [Server] is safe for concurrent use. Every connection has its own
// goroutine, so a slow or idle client, or a question whose answer takes time, delays
// nobody; at most a quarter of the connections may wait for answers, and eight have
// streams, so that a get always finds room. All goroutines end before
// [Server.Close] and [Server.Serve] return. A [Client] belongs to one goroutine
// at a time. Messages are plain values without locks.
package uapi
