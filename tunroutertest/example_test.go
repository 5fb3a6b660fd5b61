// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunroutertest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/tunrouter/tunrouter/tunroutertest"
)

// A client and a server of HTTP on the two ends of a tunnel.
func ExamplePair() {
	var t *testing.T // of the test that this is the body of

	client, server := tunroutertest.Pair(t)
	l, err := server.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "through the tunnel")
	}))
	s.Listener.Close()
	s.Listener = l
	s.Start()
	defer s.Close()

	transport := &http.Transport{DialContext: client.DialContext}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get("http://10.99.0.2/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != "through the tunnel" {
		t.Errorf("got %q, %v", body, err)
	}
}
