// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package web serves what a router can be asked over HTTP: metrics, health,
// readiness, the status as JSON, and a page for browsers. [Listen] makes a server of
// functions that tell it the state, [Server.Run] serves.
//
//	/               the status page, one document without outside resources
//	/metrics        what Options.Metrics answers
//	/healthz        200 while the process serves
//	/readyz         200, or 503 with JSON that says what is missing
//	/api/v1/status  the status as JSON
//	/api/v1/page    what the status page polls; it may change with every version
//
// Nothing can be changed through it: it knows GET and HEAD only.
//
// # Who may ask
//
// Loopback and Unix sockets need no token, as what may connect to them is on this
// machine; other addresses need one, or Options.AllowRemote. Browsers on this machine
// run programs of strangers, and a stranger's name can be made to lead to 127.0.0.1
// (DNS rebinding), so requests for names that are not the server's are answered 421,
// and what other sites embed 403.
//
// The page is the same for everybody and needs no token: it asks for it, keeps it for
// the tab, and presents it with each question. It takes one that a link brings behind
// #token= too, which browsers send to nobody.
//
// # Bounds
//
// Connections, requests under way, sizes of requests and the time for each are
// bounded. A new connection takes the place of the one that has been without a request
// for longest, so that idle and slow clients keep nobody out. The state is asked for
// once for all clients: at most every two seconds for the page, and less often when
// the answer takes long, once a second for the status.
//
// Concurrency: all methods may be called at any time. Memory: it never sees packet
// bytes.
package web
