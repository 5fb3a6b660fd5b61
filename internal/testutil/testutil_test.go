// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package testutil_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/internal/testutil"
)

// recorder is a testing.TB that notes how a helper ended the test.
type recorder struct {
	testing.TB
	ended    string // "", "skip" or "fatal"
	out      bytes.Buffer
	cleanups []func()
}

func (r *recorder) Helper()               {}
func (r *recorder) Cleanup(f func())      { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Output() io.Writer     { return &r.out }
func (r *recorder) Skip(...any)           { r.end("skip") }
func (r *recorder) Fatal(...any)          { r.end("fatal") }
func (r *recorder) Fatalf(string, ...any) { r.end("fatal") }
func (r *recorder) end(how string)        { r.ended = how; runtime.Goexit() }

// ends runs f with a recorder on its own goroutine and returns how it ended.
func ends(t *testing.T, f func(testing.TB)) string {
	r := &recorder{TB: t}
	var wg sync.WaitGroup
	wg.Go(func() { f(r) })
	wg.Wait()
	return r.ended
}

func TestNeedTool(t *testing.T) {
	for _, test := range []struct {
		name, require, tool, want string
	}{
		{"present", "1", "go", ""},
		{"missing skips", "", "no-such-program-7", "skip"},
		{"missing fails when required", "1", "no-such-program-7", "fatal"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv(testutil.RequireVariable, test.require)
			got := ends(t, func(tb testing.TB) { testutil.NeedTool(tb, test.tool) })
			if got != test.want {
				t.Errorf("NeedTool(%q) ended with %q, want %q", test.tool, got, test.want)
			}
		})
	}
}

func TestLeakFound(t *testing.T) {
	probe := testutil.LeakProbe(t)
	if report := probe(0); report != "" {
		t.Fatalf("nothing leaked, got %s", report)
	}

	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { <-stop })
	if report := probe(0); !strings.Contains(report, "TestLeakFound") {
		t.Errorf("report does not name the goroutine: %q", report)
	}
	time.AfterFunc(20*time.Millisecond, func() { close(stop) })
	if report := probe(30 * time.Second); report != "" {
		t.Errorf("goroutine that ends in time is reported: %s", report)
	}
	wg.Wait()

	if runtime.GOOS != "linux" {
		return
	}
	name := t.TempDir() + "/leaked"
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if report := probe(0); !strings.Contains(report, name) {
		t.Errorf("report does not name the open file: %q", report)
	}
	f.Close()
	if report := probe(30 * time.Second); report != "" {
		t.Errorf("closed file is reported: %s", report)
	}
}

func TestLeakCheckPasses(t *testing.T) {
	testutil.LeakCheck(t)
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
}

func TestPoll(t *testing.T) {
	n := 0
	if err := testutil.Poll(time.Minute, func() error {
		if n++; n < 3 {
			return errors.New("not yet")
		}
		return nil
	}); err != nil || n != 3 {
		t.Errorf("got %v after %d calls, want success after 3", err, n)
	}
	never := errors.New("never")
	if err := testutil.Poll(0, func() error { return never }); err != never {
		t.Errorf("got %v, want the condition's last error", err)
	}
}

func TestLoggerAfterEnd(t *testing.T) {
	r := &recorder{TB: t}
	log := testutil.Logger(r)
	log.Debug("during", "n", 1)
	for _, f := range r.cleanups {
		f()
	}
	log.Info("after")
	if got := r.out.String(); !strings.Contains(got, "msg=during n=1") || strings.Contains(got, "after") {
		t.Errorf("got %q, want only what was logged during the test", got)
	}
}

func TestPackets(t *testing.T) {
	a4, b4 := netip.MustParseAddrPort("10.0.0.1:1000"), netip.MustParseAddrPort("10.0.0.2:53")
	a6, b6 := netip.MustParseAddrPort("[fd00::1]:1000"), netip.MustParseAddrPort("[fd00::2]:53")
	payload := []byte("odd length payload!")
	for _, p := range []struct{ a, b netip.AddrPort }{{a4, b4}, {a6, b6}} {
		for name, packet := range map[string][]byte{
			"UDP":       testutil.UDP(p.a, p.b, payload),
			"UDP empty": testutil.UDP(p.a, p.b, nil),
			"TCP":       (&testutil.TCP{Src: p.a, Dst: p.b, Seq: 7, Ack: 9, Flags: testutil.ACK | testutil.PSH, Payload: payload}).Packet(),
			"echo":      testutil.Echo(p.a.Addr(), p.b.Addr(), 1, 2, payload),
		} {
			t.Run(fmt.Sprintf("%s from %s", name, p.a.Addr()), func(t *testing.T) {
				if !testutil.ChecksumsOK(packet) {
					t.Errorf("checksums of % x are wrong", packet)
				}
				packet[len(packet)-1] ^= 1
				if testutil.ChecksumsOK(packet) {
					t.Errorf("a changed byte goes unnoticed in % x", packet)
				}
				if testutil.ChecksumsOK(packet[:len(packet)-1]) {
					t.Errorf("a cut packet goes unnoticed")
				}
			})
		}
	}
}

// TestPacketBytes compares with a packet computed by hand, so that builder and
// checker cannot be wrong together.
func TestPacketBytes(t *testing.T) {
	got := testutil.UDP(netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2"), []byte{0xab})
	want := []byte{
		0x45, 0, 0, 29, 0, 0, 0x40, 0, 64, 17, 0xb6, 0xcc, 192, 0, 2, 1, 192, 0, 2, 2,
		0, 1, 0, 2, 0, 9, 0xd0, 0xd4, 0xab,
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got  % x\nwant % x", got, want)
	}
}
