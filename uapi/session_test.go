// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package uapi_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tunrouter/tunrouter/uapi"
)

// TestStall: a connection may be idle for ever, but not stop within a request or
// a reply.
func TestStall(t *testing.T) {
	const limit = 30 * time.Second
	tests := []struct {
		name, write string
		read        bool // whether the client reads
		busy, after int  // sessions within a request before the limit, sessions after
	}{
		{"idle", "", true, 0, 1},
		{"idle after a request", "get=1\n\n", true, 0, 1},
		{"operation", "ge", true, 1, 0},
		{"request", "set=1\nlisten_port=1\n", true, 1, 0},
		{"reply", "get=1\n\n", false, 1, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := uapi.NewPipeServer(&uapi.Options{StallTimeout: limit})
				client, server := net.Pipe()
				s.Start(server, &memory{dev: uapi.Device{ListenPort: 1}})
				if tt.read {
					go io.Copy(io.Discard, client)
				}
				if _, err := io.WriteString(client, tt.write); err != nil {
					t.Fatal(err)
				}
				time.Sleep(limit - time.Second)
				synctest.Wait()
				if busy, all := s.Busy(); busy != tt.busy || all != 1 {
					t.Errorf("before the limit: %d busy of %d sessions, want %d of 1", busy, all, tt.busy)
				}
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if _, all := s.Busy(); all != tt.after {
					t.Errorf("after the limit: %d sessions, want %d", all, tt.after)
				}
				client.Close()
				s.EndSessions()
			})
		})
	}
}

// TestProgress: a slow client that goes on is served, however long it takes.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := uapi.NewPipeServer(&uapi.Options{StallTimeout: 30 * time.Second})
		client, server := net.Pipe()
		h := &memory{}
		s.Start(server, h)
		text := string((&uapi.SetRequest{ListenPort: ptr(uint16(7)), Peers: []uapi.PeerRequest{{PublicKey: key(1)}}}).AppendTo([]byte("set=1\n")))
		for part := range strings.SplitSeq(text, "") {
			time.Sleep(20 * time.Second)
			if _, err := io.WriteString(client, part); err != nil {
				t.Fatal(err)
			}
		}
		got := make([]byte, len("errno=0\n\n"))
		if _, err := io.ReadFull(client, got); err != nil || string(got) != "errno=0\n\n" {
			t.Errorf("got %q, %v", got, err)
		}
		if h.dev.ListenPort != 7 {
			t.Errorf("the request had no effect")
		}
		client.Close()
		s.EndSessions()
	})
}
