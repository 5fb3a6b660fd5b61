// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/tunrouter/tunrouter/netstack"
	"github.com/tunrouter/tunrouter/netstack/netstacktest"
	"github.com/tunrouter/tunrouter/netstack/proxy"
)

// pipes is the other end of a program's standard input and output.
type pipes struct {
	io.Reader
	io.WriteCloser
}

// CloseWrite ends standard input.
func (p pipes) CloseWrite() error { return p.Close() }

func newSTDIO(t *testing.T, n *netstack.Net, to string, in io.Reader, out io.Writer) *proxy.STDIO {
	t.Helper()
	s, err := proxy.NewSTDIO(n, &proxy.STDIOOptions{Target: to, In: in, Out: out})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestSTDIO(t *testing.T) {
	a, b := pairOf(t)
	to := target(t, b, answerWhole)
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	s := newSTDIO(t, a, to, inR, outW)
	done := make(chan error, 1)
	go func() {
		err := s.Run(t.Context())
		outW.Close()
		done <- err
	}()
	if err := askWhole(pipes{outR, inW}); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if st := s.Stats(); st.BytesOut != requestSize+32 || st.BytesIn != responseSize+32 || st.Active != 0 || st.Accepted != 1 {
		t.Errorf("got %+v", st)
	}
}

// TestSTDIOTargetEnds checks that nobody has to end the input.
func TestSTDIOTargetEnds(t *testing.T) {
	a, b := pairOf(t)
	to := target(t, b, func(c net.Conn) { io.WriteString(c, "bye") })
	in, w := io.Pipe()
	defer w.Close()
	var out bytes.Buffer
	if err := newSTDIO(t, a, to, in, &out).Run(t.Context()); err != nil || out.String() != "bye" {
		t.Errorf("got %q, %v", out.String(), err)
	}
}

func TestSTDIOErrors(t *testing.T) {
	a, b := pairOf(t)
	ctx := t.Context()
	resets := target(t, b, func(c net.Conn) { c.(interface{ SetLinger(int) error }).SetLinger(0) })
	stays := target(t, b, echo)
	refused := net.JoinHostPort(netstacktest.B4.String(), "7")
	errIn, errOut := errors.New("in"), errors.New("out")
	in, w := io.Pipe()
	w.CloseWithError(errIn)
	_, out := io.Pipe()
	silent, sw := io.Pipe()
	defer sw.Close()

	if err := newSTDIO(t, a, refused, strings.NewReader(""), io.Discard).Run(ctx); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("refused: got %v", err)
	}
	if err := newSTDIO(t, a, resets, silent, io.Discard).Run(ctx); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("reset: got %v", err)
	}
	if err := newSTDIO(t, a, stays, in, io.Discard).Run(ctx); !errors.Is(err, errIn) {
		t.Errorf("input: got %v", err)
	}
	failing := writerFunc(func([]byte) (int, error) { return 0, errOut })
	if err := newSTDIO(t, a, stays, strings.NewReader("x"), failing).Run(ctx); !errors.Is(err, errOut) {
		t.Errorf("output: got %v", err)
	}
	if _, err := proxy.NewSTDIO(a, &proxy.STDIOOptions{Target: "b.example", In: in, Out: out}); err == nil {
		t.Error("a target without a port is fine")
	}
}

type writerFunc func(b []byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// TestSTDIOEnd checks that ctx and Close end a connection and are no error.
func TestSTDIOEnd(t *testing.T) {
	a, b := pairOf(t)
	to := target(t, b, func(c net.Conn) {
		io.WriteString(c, "x")
		io.Copy(io.Discard, c)
	})
	for _, how := range []string{"close", "context"} {
		in, w := io.Pipe()
		defer w.Close()
		outR, outW := io.Pipe()
		s := newSTDIO(t, a, to, in, outW)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		io.ReadFull(outR, make([]byte, 1))
		if how == "close" {
			s.Close()
		} else {
			cancel()
		}
		if err := <-done; err != nil {
			t.Errorf("%s: got %v", how, err)
		}
	}
}
