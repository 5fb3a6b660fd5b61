// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"testing"

	"github.com/tunrouter/tunrouter/integration/lab"
)

// A web is an HTTP server whose content can be told from any other:
//
//	GET /N/SEED    N bytes that depend on the seed
//	PUT, DELETE    the method and the SHA-256 of the body
type web struct {
	mu          sync.Mutex
	connections int
}

// serveWeb starts a server in a host.
func serveWeb(t *testing.T, h *lab.Host, at netip.AddrPort) *web {
	t.Helper()
	w := new(web)
	l := listenIn(t, h, at)
	s := &http.Server{Handler: w, ErrorLog: log.New(io.Discard, "", 0), ConnState: func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.connections++
		}
	}}
	t.Cleanup(func() { s.Close() })
	go s.Serve(l)
	return w
}

// Connections returns how many the server has had.
func (w *web) Connections() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.connections
}

func (w *web) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		sum := sha256.New()
		if _, err := io.Copy(sum, r.Body); err != nil {
			http.Error(out, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(out, "%s %s", r.Method, hex.EncodeToString(sum.Sum(nil)))
		return
	}
	var n, seed int
	if _, err := fmt.Sscanf(r.URL.Path, "/%d/%d", &n, &seed); err != nil {
		http.NotFound(out, r)
		return
	}
	out.Header().Set("Content-Length", strconv.Itoa(n))
	out.Write(content(n, seed))
}

// content returns n bytes.
func content(n, seed int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b) // never fails
	return b
}

// sum returns the SHA-256 of the bytes in hexadecimal.
func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}
