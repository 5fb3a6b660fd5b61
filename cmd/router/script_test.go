// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"flag"
	"net"
	"os"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata/script")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"router": main, wireguardGo: main})
}

// TestScripts runs the program as a user does. Nothing in the scripts needs a
// privilege, and none depends on whether there is one.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			for _, name := range []string{envTunFD, envUAPIFD, envForeground, envLogLevel, envJournal, envReady, "NOTIFY_SOCKET"} {
				env.Setenv(name, "")
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"await": await, "freeport": freePort},
	})
}

// freePort sets a variable to a UDP port that nobody uses now.
func freePort(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 || neg {
		ts.Fatalf("usage: freeport VARIABLE")
	}
	c, err := net.ListenPacket("udp", ":0")
	ts.Check(err)
	_, port, err := net.SplitHostPort(c.LocalAddr().String())
	ts.Check(err)
	ts.Check(c.Close())
	ts.Setenv(args[0], port)
}

// await waits until a control socket accepts connections; with "!" until there
// is none.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: await SOCKET")
	}
	deadline := time.Now().Add(time.Minute)
	for {
		c, err := net.Dial("unix", ts.MkAbs(args[0]))
		if err == nil {
			c.Close()
		} else if !os.IsNotExist(err) && neg {
			ts.Fatalf("await: %v", err)
		}
		if neg == (err != nil) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("await %s: %v", args[0], err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
