// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package uapi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/uapi"
)

// A spring is a Handler that has streams.
type spring struct {
	memory
	stream func(ctx context.Context, name string, args []uapi.KeyValue, w io.Writer) ([]byte, error)
}

func (s *spring) Stream(ctx context.Context, name string, args []uapi.KeyValue, w io.Writer) ([]byte, error) {
	return s.stream(ctx, name, args, w)
}

// TestStream: what is written arrives byte by byte as it was, the answer behind it, and
// the connection is at its end.
func TestStream(t *testing.T) {
	testutil.LeakCheck(t)
	path := filepath.Join(tempDir(t), "wg0.sock")
	all := bytes.Repeat([]byte("errno=5\n\ndata=7\njson=1\n"), 20_000)
	h := &spring{stream: func(_ context.Context, name string, args []uapi.KeyValue, w io.Writer) ([]byte, error) {
		if name != "film" || len(args) != 1 || args[0] != (uapi.KeyValue{Key: "reel", Value: "2"}) {
			return nil, fmt.Errorf("asked for %s %v", name, args)
		}
		for rest := all; len(rest) > 0; {
			n, err := w.Write(rest[:min(len(rest), 200_000)])
			if err != nil {
				return nil, err
			}
			rest = rest[n:]
		}
		n, err := w.Write(nil)
		return []byte(`{"end": 1}`), errors.Join(err, map[bool]error{true: nil, false: errors.New("n")}[n == 0])
	}}
	s := listen(t, path)
	serve(t, s, h)
	c := dial(t, path)
	var got bytes.Buffer
	answer, err := c.Stream(t.Context(), &got, "film", uapi.KeyValue{Key: "reel", Value: "2"})
	if err != nil || string(answer) != `{"end":1}` || !bytes.Equal(got.Bytes(), all) {
		t.Errorf("%d bytes of %d, answer %s, %v", got.Len(), len(all), answer, err)
	}
	if _, err := c.Get(); err == nil {
		t.Error("the connection goes on")
	}
	if _, err := dial(t, path).Get(); err != nil {
		t.Errorf("another connection: %v", err)
	}
	s.Close()
}

// endless writes until ctx ends, and then a last word.
func endless(ctx context.Context, _ string, _ []uapi.KeyValue, w io.Writer) ([]byte, error) {
	for ctx.Err() == nil {
		if _, err := w.Write([]byte("frame ")); err != nil {
			return nil, err
		}
	}
	_, err := w.Write([]byte("fin"))
	return []byte("true"), err
}

// TestStreamEnds: a client that has had enough gets the rest of the stream, and the
// answer.
func TestStreamEnds(t *testing.T) {
	testutil.LeakCheck(t)
	path := filepath.Join(tempDir(t), "wg0.sock")
	s := listen(t, path)
	serve(t, s, &spring{stream: endless})
	c := dial(t, path)
	ctx, cancel := context.WithCancel(t.Context())
	w := &enough{after: 100, then: cancel}
	answer, err := c.Stream(ctx, w, "film")
	if err != nil || string(answer) != "true" || !strings.HasSuffix(string(w.last), "fin") {
		t.Errorf("answer %s, %v, last piece %q", answer, err, w.last)
	}
	s.Close()
}

// TestStreamSilent: one that writes nothing ends likewise.
func TestStreamSilent(t *testing.T) {
	testutil.LeakCheck(t)
	path := filepath.Join(tempDir(t), "wg0.sock")
	began := make(chan struct{})
	s := listen(t, path)
	serve(t, s, &spring{stream: func(ctx context.Context, _ string, _ []uapi.KeyValue, _ io.Writer) ([]byte, error) {
		close(began)
		<-ctx.Done()
		return []byte("2"), nil
	}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-began; cancel() }()
	answer, err := dial(t, path).Stream(ctx, io.Discard, "film")
	if err != nil || string(answer) != "2" {
		t.Errorf("answer %s, %v", answer, err)
	}
	s.Close()
}

// enough calls then when it was written to so often.
type enough struct {
	after int
	then  func()
	last  []byte
}

func (e *enough) Write(b []byte) (int, error) {
	if e.after--; e.after == 0 {
		e.then()
	}
	e.last = append(e.last[:0], b...)
	return len(b), nil
}

// TestStreamHangUp: a client that leaves ends its stream; one that only stops to read
// holds up nobody, and Close ends it.
func TestStreamHangUp(t *testing.T) {
	testutil.LeakCheck(t)
	path := filepath.Join(tempDir(t), "wg0.sock")
	ended := make(chan error, 1)
	s := listen(t, path)
	serve(t, s, &spring{stream: func(_ context.Context, _ string, _ []uapi.KeyValue, w io.Writer) (_ []byte, err error) {
		for err == nil {
			_, err = w.Write(make([]byte, 100_000))
		}
		ended <- err
		return nil, err
	}})
	ask := func() net.Conn {
		t.Helper()
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "stream=film\n\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		return c
	}
	ask().Close()
	<-ended
	stuck := ask()
	if _, err := dial(t, path).Get(); err != nil {
		t.Errorf("get beside it: %v", err)
	}
	s.Close() // waits for the stream
	<-ended
	stuck.Close()
}

func TestStreamErrors(t *testing.T) {
	testutil.LeakCheck(t)
	path := filepath.Join(tempDir(t), "wg0.sock")
	h := &spring{}
	s := listen(t, path)
	serve(t, s, h)
	for _, test := range []struct {
		err         error
		written     string
		text        string
		unsupported bool
	}{
		{err: errors.New("no film\ntoday"), text: "stream film: no film\ntoday"},
		{err: errors.New("torn"), written: "fra", text: "stream film: torn"},
		{err: fmt.Errorf("film: %w", errors.ErrUnsupported), text: "does not know it", unsupported: true},
		{err: &uapi.Error{Errno: uapi.ErrnoInvalid, Err: errors.New("bad reel")}, text: "bad reel"},
	} {
		h.stream = func(_ context.Context, _ string, _ []uapi.KeyValue, w io.Writer) ([]byte, error) {
			io.WriteString(w, test.written)
			return nil, test.err
		}
		var got bytes.Buffer
		_, err := dial(t, path).Stream(t.Context(), &got, "film")
		if err == nil || !strings.Contains(err.Error(), test.text) || errors.Is(err, errors.ErrUnsupported) != test.unsupported || got.String() != test.written {
			t.Errorf("%v: got %q, %v", test.err, got.String(), err)
		}
	}
	// A request that is none, and a handler that has no streams.
	if _, err := dial(t, path).Stream(t.Context(), io.Discard, "a b"); err == nil {
		t.Error("a name with a space is taken")
	}
	s.Close()
	plain := filepath.Join(tempDir(t), "wg1.sock")
	s = listen(t, plain)
	serve(t, s, &memory{})
	if _, err := dial(t, plain).Stream(t.Context(), io.Discard, "film"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("without streams: %v", err)
	}
	s.Close()
}

// TestStreamTooMany: streams are bounded, and gets find room beside them.
func TestStreamTooMany(t *testing.T) {
	testutil.LeakCheck(t)
	path := filepath.Join(tempDir(t), "wg0.sock")
	s := listen(t, path)
	serve(t, s, &spring{stream: func(ctx context.Context, _ string, _ []uapi.KeyValue, w io.Writer) ([]byte, error) {
		_, err := io.WriteString(w, "on")
		<-ctx.Done()
		return nil, err
	}})
	for range uapi.MaxStreams {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "stream=film\n\n")
		if _, err := io.ReadFull(c, make([]byte, 2)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := dial(t, path).Stream(ctx, io.Discard, "film"); err == nil || !strings.Contains(err.Error(), "too many streams") {
		t.Errorf("got %v", err)
	}
	if _, err := dial(t, path).Get(); err != nil {
		t.Errorf("get beside them: %v", err)
	}
	s.Close()
}

// FuzzReadStream: whatever a program behind the socket answers, reading it ends without a
// panic, and what comes out was in it.
func FuzzReadStream(f *testing.F) {
	f.Add([]byte("data=3\nabcerrno=0\n\n"))
	f.Add([]byte("data=3\nabcdata=0\ndata=2\n\n\njson={}\nerrno=0\n\n"))
	f.Add([]byte("data=99999999\n"))
	f.Add([]byte("data=-1\nerrno=-95\n\n"))
	f.Fuzz(func(t *testing.T, reply []byte) {
		var got bytes.Buffer
		answer, err := uapi.ReadStream(bytes.NewReader(reply), &got)
		if got.Len()+len(answer) > len(reply) || err != nil && answer != nil {
			t.Fatalf("%d and %d bytes out of %d, %v", got.Len(), len(answer), len(reply), err)
		}
	})
}
