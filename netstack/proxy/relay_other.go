// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build !unix

package proxy

import "net"

// disconnected is not asked for here: sockets keep their error.
func disconnected(net.Conn) bool { return false }
