// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package socketfile makes listening Unix sockets that are files: with their mode from
// the first moment on, in place of a stale one, never in place of anything else. It
// removes only what it made.
package socketfile
