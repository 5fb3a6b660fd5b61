// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package uapi_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/uapi"
)

// An oracle is a Handler that answers questions.
type oracle struct {
	memory
	answer func(name string, args []uapi.KeyValue) ([]byte, error)
}

func (o *oracle) Ask(name string, args []uapi.KeyValue) ([]byte, error) { return o.answer(name, args) }

// echo answers with what it was asked.
func echo(name string, args []uapi.KeyValue) ([]byte, error) {
	return json.MarshalIndent(map[string]any{"name": name, "args": args}, "", "\t")
}

func TestAsk(t *testing.T) {
	testutil.LeakCheck(t)
	path := filepath.Join(tempDir(t), "wg0.sock")
	h := &oracle{answer: echo}
	s := listen(t, path)
	serve(t, s, h)
	c := dial(t, path)
	answer, err := c.Ask("ping", uapi.KeyValue{Key: "peer", Value: "xTI="}, uapi.KeyValue{Key: "peer", Value: ""})
	const want = `{"args":[{"Key":"peer","Value":"xTI="},{"Key":"peer","Value":""}],"name":"ping"}`
	if err != nil || string(answer) != want {
		t.Errorf("answer %s, %v; want %s", answer, err, want)
	}
	if answer, err := c.Ask("netcheck"); err != nil || string(answer) != `{"args":null,"name":"netcheck"}` {
		t.Errorf("without arguments: %s, %v", answer, err)
	}
	// Answers of several lines, up to the longest.
	for _, n := range []int{uapi.MaxAnswerLine, uapi.MaxAnswerLine + 1, 5*uapi.MaxAnswerLine + 7, uapi.MaxAnswer} {
		long := append(append([]byte{'"'}, bytes.Repeat([]byte("x="), n/2+1)[:n-2]...), '"')
		h.answer = func(string, []uapi.KeyValue) ([]byte, error) { return long, nil }
		if answer, err := c.Ask("long"); err != nil || !bytes.Equal(answer, long) {
			t.Errorf("answer of %d bytes: got %d bytes, %v", n, len(answer), err)
		}
	}
	if _, err := c.Get(); err != nil {
		t.Errorf("get behind it: %v", err)
	}
	s.Close()
}

// TestAskErrors: what goes wrong with a question, and the connection goes on.
func TestAskErrors(t *testing.T) {
	path := filepath.Join(tempDir(t), "wg0.sock")
	h := &oracle{}
	serve(t, listen(t, path), h)
	c := dial(t, path)
	tests := []struct {
		name        string
		answer      string
		err         error
		errno       int64
		text        string
		unsupported bool
	}{
		{"error", "", errors.New("no such peer\nreally"), uapi.ErrnoUnknown, "ask q: no such peer\nreally", false},
		{"chosen errno", "", &uapi.Error{Errno: uapi.ErrnoInvalid, Err: errors.New("bad key")}, uapi.ErrnoInvalid, "ask q: bad key", false},
		{"unknown question", "", fmt.Errorf("q: %w", errors.ErrUnsupported), 0, "does not know it", true},
		{"not JSON", "{", nil, uapi.ErrnoUnknown, "not JSON", false},
		{"nothing", "", nil, uapi.ErrnoUnknown, "not JSON", false},
		{"two texts", "{}\n{}", nil, uapi.ErrnoUnknown, "not JSON", false},
		{"too long", `"` + strings.Repeat("x", uapi.MaxAnswer-1) + `"`, nil, uapi.ErrnoUnknown, "too long", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h.answer = func(string, []uapi.KeyValue) ([]byte, error) { return []byte(tt.answer), tt.err }
			answer, err := c.Ask("q")
			if answer != nil || err == nil || !strings.Contains(err.Error(), tt.text) || errors.Is(err, errors.ErrUnsupported) != tt.unsupported {
				t.Errorf("got %.20s, %v; want %s", answer, err, tt.text)
			}
			var coded *uapi.Error
			if errors.As(err, &coded) != (tt.errno != 0) || coded != nil && coded.Errno != tt.errno {
				t.Errorf("got %#v, want errno %d", coded, tt.errno)
			}
		})
	}
	for name, ask := range map[string]func() ([]byte, error){
		"no name":    func() ([]byte, error) { return c.Ask("") },
		"bad name":   func() ([]byte, error) { return c.Ask("a\nset=1") },
		"bad key":    func() ([]byte, error) { return c.Ask("a", uapi.KeyValue{Key: "a=b"}) },
		"line break": func() ([]byte, error) { return c.Ask("a", uapi.KeyValue{Key: "a", Value: "\n"}) },
		"long argument": func() ([]byte, error) {
			return c.Ask("a", uapi.KeyValue{Key: "a", Value: strings.Repeat("x", uapi.MaxLine)})
		},
		"too much": func() ([]byte, error) { return c.Ask("a", make([]uapi.KeyValue, uapi.MaxAsk)...) },
	} {
		if answer, err := ask(); err == nil || answer != nil {
			t.Errorf("%s: got %s, %v; want an error", name, answer, err)
		}
	}
	if _, err := c.Get(); err != nil {
		t.Errorf("get behind it: %v", err)
	}
}

// TestAskUnknown: a handler without answers, and one of another program.
func TestAskUnknown(t *testing.T) {
	path := filepath.Join(tempDir(t), "wg0.sock")
	serve(t, listen(t, path), new(memory))
	c := dial(t, path)
	if _, err := c.Ask("ping"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got %v, want errors.ErrUnsupported", err)
	}
	if _, err := c.Get(); err != nil {
		t.Errorf("get behind it: %v", err)
	}
}

func TestAskReplies(t *testing.T) {
	path := filepath.Join(tempDir(t), "wg0.sock")
	serve(t, listen(t, path), &oracle{memory: memory{dev: uapi.Device{ListenPort: 1}}, answer: echo})
	const get = "listen_port=1\nerrno=0\n\n"
	invalid, protocol := fmt.Sprintf("errno=%d\n\n", uapi.ErrnoInvalid), fmt.Sprintf("errno=%d\n\n", uapi.ErrnoProtocol)
	tests := []struct{ name, in, want string }{
		{"bare", "ask=x\n\nget=1\n\n", `json={"args":null,"name":"x"}` + "\nerrno=0\n\n" + get},
		{"key", "ask=x\na=b=c\n\n", `json={"args":[{"Key":"a","Value":"b=c"}],"name":"x"}` + "\nerrno=0\n\n"},
		{"no name", "ask=\n\nget=1\n\n", "message=name of a question: want letters a-z, digits and _\n" + invalid + get},
		{"name with more", "ask=x=y\n\nget=1\n\n", "message=name of a question: want letters a-z, digits and _\n" + invalid + get},
		{"no equals sign", "ask=x\na\nb=c\n\nget=1\n\n", invalid + get},
		{"no key", "ask=x\n=c\n\nget=1\n\n", invalid + get},
		{"key as a secret", "ask=x\n" + strings.Repeat("A", 43) + "=\n\nget=1\n\n", invalid + get},
		{"carriage return", "ask=x\na=b\r\n\nget=1\n\n", invalid + get},
		{"long line", "ask=x\na=" + strings.Repeat("x", uapi.MaxLine) + "\n\nget=1\n\n", invalid + get},
		{"too much", "ask=x\n" + strings.Repeat("a=b\n", uapi.MaxAsk/4+1) + "\nget=1\n\n", invalid},
		{"too much after a mistake", "ask=x\na\n" + strings.Repeat("a=b\n", uapi.MaxAsk/4+1) + "\nget=1\n\n", invalid},
		{"cut off", "ask=x\na=b\n", protocol},
		{"cut off after a mistake", "ask=x\na\n", invalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := talk(t, path, tt.in); got != tt.want {
				t.Errorf("sent %.60q, got %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

// TestAskSlow: questions that take their time delay nobody, and do not take the places of
// all connections.
func TestAskSlow(t *testing.T) {
	testutil.LeakCheck(t)
	path := filepath.Join(tempDir(t), "wg0.sock")
	s, err := uapi.Listen(path, &uapi.Options{MaxConns: 12})
	if err != nil {
		t.Fatal(err)
	}
	began, release := make(chan bool), make(chan bool)
	done := serve(t, s, &oracle{answer: func(string, []uapi.KeyValue) ([]byte, error) {
		began <- true
		<-release
		return []byte("1"), nil
	}})
	const most = 3
	answers := make(chan error, most)
	for range most {
		c := dial(t, path)
		go func() {
			_, err := c.Ask("slow")
			answers <- err
		}()
		<-began
	}
	c := dial(t, path)
	if _, err := c.Ask("slow"); err == nil || !strings.Contains(err.Error(), "too many questions at a time") {
		t.Errorf("one question more: %v", err)
	}
	if _, err := c.Get(); err != nil {
		t.Errorf("get meanwhile: %v", err)
	}
	close(release)
	for range most {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	go func() { <-began }()
	if _, err := c.Ask("slow"); err != nil {
		t.Errorf("a question afterwards: %v", err)
	}
	s.Close()
	<-done
}

// FuzzAsk: what is written as a question is read as the same, and what is read can be
// written; whatever else comes is refused as a whole.
func FuzzAsk(f *testing.F) {
	f.Add("ping", "peer", "abc=", []byte("peer=abc\n\n"))
	f.Add("a b", "", "\r", []byte("x\n\n"))
	f.Add("x", "y", strings.Repeat("v", uapi.MaxLine), []byte("a=b\n=\n\nset=1\n"))
	f.Fuzz(func(t *testing.T, name, key, value string, text []byte) {
		read := func(text []byte) []uapi.KeyValue {
			args, bad, fatal := uapi.ReadAsk(bufio.NewReader(bytes.NewReader(text)))
			if (bad != nil || fatal != nil) && args != nil {
				t.Fatalf("%v beside %v and %v", args, bad, fatal)
			}
			if bad == nil && fatal == nil && args == nil {
				args = []uapi.KeyValue{}
			}
			return args
		}
		want := []uapi.KeyValue{{Key: key, Value: value}}
		if b, err := uapi.AppendAsk([]byte("before"), name, want); err == nil {
			first, rest, _ := bytes.Cut(b, []byte("\n"))
			if string(first) != "beforeask="+name {
				t.Errorf("first line %q", first)
			}
			if diff := cmp.Diff(want, read(rest)); diff != "" {
				t.Errorf("question (-want +got):\n%s", diff)
			}
		}
		if args := read(text); args != nil {
			b, err := uapi.AppendAsk(nil, "x", args)
			if err != nil || !bytes.HasPrefix(text, b[len("ask=x\n"):]) {
				t.Errorf("%q was read as %v and is written as %q, %v", text, args, b, err)
			}
		}
	})
}
