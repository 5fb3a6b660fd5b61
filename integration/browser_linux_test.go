// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/internal/testutil"
)

// browser is a page in a headless Chromium, driven over a pipe by its debugging
// protocol: JSON, ended by a zero byte.
type browser struct {
	t       *testing.T
	w       *os.File
	session string

	mu      sync.Mutex // guards below
	id      int
	waiting map[int]chan message
	errors  []string // of the page
	urls    []string // asked for
	gone    error
}

type message struct {
	ID     int             `json:"id,omitempty"`
	Method string          `json:"method,omitempty"`
	Params json.RawMessage `json:"params,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  json.RawMessage `json:"error,omitempty"`
	// SessionID names the page, empty for the browser.
	SessionID string `json:"sessionId,omitempty"`
}

func startBrowser(t *testing.T) *browser {
	t.Helper()
	inR, inW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server", "--hide-scrollbars",
		"--user-data-dir="+filepath.Join(t.TempDir(), "profile"), "--remote-debugging-pipe", "about:blank")
	cmd.ExtraFiles = []*os.File{inR, outW} // 3 and 4
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	inR.Close()
	outW.Close()
	b := &browser{t: t, w: inW, waiting: make(map[int]chan message)}
	var reader sync.WaitGroup
	reader.Go(func() { b.read(outR) })
	t.Cleanup(func() {
		inW.Close() // which ends it, mostly
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
		outR.Close()
		reader.Wait()
	})
	var target struct{ TargetID, SessionID string }
	decode(t, b.call("Target.createTarget", `{"url":"about:blank"}`), &target)
	decode(t, b.call("Target.attachToTarget", `{"targetId":"`+target.TargetID+`","flatten":true}`), &target)
	b.session = target.SessionID
	for _, domain := range []string{"Runtime", "Log", "Network", "Page"} {
		b.call(domain+".enable", `{}`)
	}
	return b
}

func decode(t *testing.T, b []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// read hands out what the browser says until it ends.
func (b *browser) read(r *os.File) {
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadBytes(0)
		if err != nil {
			b.mu.Lock()
			b.gone = fmt.Errorf("chromium ended: %w", err)
			for id, c := range b.waiting {
				delete(b.waiting, id)
				close(c)
			}
			b.mu.Unlock()
			return
		}
		var m message
		if json.Unmarshal(line[:len(line)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		switch {
		case m.ID != 0 && b.waiting[m.ID] != nil:
			b.waiting[m.ID] <- m
			delete(b.waiting, m.ID)
		case m.Method == "Runtime.exceptionThrown", m.Method == "Log.entryAdded", m.Method == "Runtime.consoleAPICalled":
			b.errors = append(b.errors, m.Method+" "+string(m.Params))
		case m.Method == "Network.requestWillBeSent":
			var p struct{ Request struct{ URL string } }
			json.Unmarshal(m.Params, &p)
			b.urls = append(b.urls, p.Request.URL)
		}
		b.mu.Unlock()
	}
}

// call calls a method of the debugging protocol.
func (b *browser) call(method, params string) []byte {
	b.t.Helper()
	answer := make(chan message, 1)
	b.mu.Lock()
	b.id++
	m := message{ID: b.id, Method: method, Params: json.RawMessage(params), SessionID: b.session}
	if b.gone == nil {
		b.waiting[m.ID] = answer
	} else {
		close(answer)
	}
	b.mu.Unlock()
	text, err := json.Marshal(&m)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, params, err)
	}
	if _, err := b.w.Write(append(text, 0)); err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	select {
	case a, ok := <-answer:
		if !ok {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.t.Fatalf("%s: %v", method, b.gone)
		}
		if a.Error != nil {
			b.t.Fatalf("%s: %s", method, a.Error)
		}
		return a.Result
	case <-time.After(time.Minute):
		b.t.Fatalf("%s: no answer", method)
	}
	return nil
}

// eval returns the JSON of what an expression is in the page.
func (b *browser) eval(expression string) string {
	b.t.Helper()
	var r struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	decode(b.t, b.call("Runtime.evaluate", `{"returnByValue":true,"awaitPromise":true,"expression":`+quote(expression)+`}`), &r)
	if r.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, r.ExceptionDetails)
	}
	return string(r.Result.Value)
}

func (b *browser) want(expression, want string) {
	b.t.Helper()
	if got := b.eval(expression); got != want {
		b.t.Errorf("%s is %s, want %s", expression, got, want)
	}
}

func (b *browser) until(what, expression string) {
	b.t.Helper()
	testutil.Eventually(b.t, time.Minute, what, func() error {
		if got := b.eval(expression); got != "true" {
			return errors.New(expression + " is " + got)
		}
		return nil
	})
}

// enter presses the Enter key.
func (b *browser) enter() {
	b.t.Helper()
	for _, kind := range []string{`"keyDown","text":"\r"`, `"keyUp"`} {
		b.call("Input.dispatchKeyEvent", `{"type":`+kind+`,"key":"Enter","code":"Enter","windowsVirtualKeyCode":13}`)
	}
}

// screenshot keeps an image of the whole page as an artifact (go test -artifacts).
func (b *browser) screenshot(name string) {
	b.t.Helper()
	var shot struct{ Data []byte }
	decode(b.t, b.call("Page.captureScreenshot", `{"format":"png","captureBeyondViewport":true}`), &shot)
	if err := os.WriteFile(filepath.Join(b.t.ArtifactDir(), name), shot.Data, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// quiet fails the test when the page has complained or asked elsewhere.
func (b *browser) quiet(base string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.errors {
		b.t.Errorf("console: %s", e)
	}
	asked := 0
	for _, u := range b.urls {
		switch {
		case strings.HasPrefix(u, base):
			asked++
		case !strings.HasPrefix(u, "data:") && u != "about:blank":
			b.t.Errorf("the page asked for %s", u)
		}
	}
	if asked < 4 {
		b.t.Errorf("the page asked %d times: %v", asked, b.urls)
	}
}
