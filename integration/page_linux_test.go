// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/internal/testutil"
	statuspage "github.com/tunrouter/tunrouter/metrics/web"
)

// hostileName is what a peer may be called.
const hostileName = `<img src=x onerror=alert(1)></script>`

// pageOf returns what a router with some traffic tells the status page after n
// questions.
func pageOf(n uint64) *statuspage.PageData {
	loss := []float64{0, 0.004, 0.27}
	d := &statuspage.PageData{
		Interface: "wg0", Mode: "tun", Version: "v1.2.3", Started: time.Now().Add(-53 * time.Hour), Forwarding: "on",
		Listen: []string{"0.0.0.0:51820", "[::]:51820"},
		Relays: []statuspage.PageRelay{
			{ID: "r1", Name: "relay-fra", Address: "192.0.2.1:51820", Up: true, Latency: 9 * time.Millisecond},
			{ID: "r2", Name: "relay-nyc", Address: "[2001:db8::9]:51820"},
		},
		Drops: []statuspage.PageDrop{
			{Stage: "filter", Reason: "denied", Packets: 1200 + 37*n}, {Stage: "replay", Reason: "too_old", Packets: 14},
			{Stage: "tun_queue", Reason: "full", Packets: 123456}, {Stage: "socket", Reason: "no_route"},
		},
		Advice: []statuspage.PageAdvice{{Severity: "warning", Text: "net.core.rmem_max is 212992, sockets ask for 7340032.", Remedy: "sysctl -w net.core.rmem_max=7340032"}},
	}
	for i, name := range []string{"office", "laptop", "backup-site-with-a-rather-long-name", "phone", "build", hostileName, "", "camera", "spare"} {
		p := statuspage.PagePeer{
			PublicKey: base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{byte(37 * (i + 1))}, 32)), Name: name,
			Endpoint: fmt.Sprintf("198.51.100.%d:51820", i+1), Path: []string{"direct", "relay", "plain"}[i%3],
			Latency: time.Duration(i*i+1) * 3700 * time.Microsecond, Loss: &loss[i%3],
			Handshake:  time.Now().Add(-time.Duration(i*i*7+3) * time.Second),
			AllowedIPs: []string{fmt.Sprintf("10.0.0.%d/32", i+1)}, Hub: i%4 == 0,
			RxBytes: n * n * uint64(9000*(i+1)), TxBytes: n * uint64(2_000_000/(i+1)),
		}
		switch {
		case name == "spare":
			p.Path, p.Endpoint, p.Handshake, p.Latency, p.Loss, p.RxBytes, p.TxBytes = "", "", time.Time{}, 0, nil, 0, 0
		case p.Path == "relay":
			p.Relay = "r1"
		case name == "backup-site-with-a-rather-long-name":
			p.Endpoint = "[2001:db8:aaaa:bbbb:cccc:dddd:eeee:1]:51820"
		}
		d.Peers = append(d.Peers, p)
	}
	return d
}

// pastOfPage gives the page ten minutes of history, as a server has that has been
// running for a while.
const pastOfPage = `(() => {
	const h = history_, end = h.times[0], n = 297 - h.times.length, wave = (i, k) => Math.max(0,
		Math.round((1 + Math.sin(i / (9 + k)) + 0.5 * Math.sin(i / 2.3 + k) + (i % 71 < 5 ? 2 : 0)) * 4e6 / (k + 1)));
	h.times.unshift(...Array.from({length: n}, (_, i) => end - 2000 * (n - i)));
	[h.total, ...h.peers.values()].forEach((s, k) => {
		s.rx.splice(0, s.rx.length, ...h.times.map((_, i) => k === 4 && i > 90 && i < 140 ? -1 : wave(i, k)));
		s.tx.splice(0, s.tx.length, ...h.times.map((_, i) => k === 4 && i > 90 && i < 140 ? -1 : wave(i + 40, k + 2) / 2));
	});
	draw();
})()`

func TestStatusPageInABrowser(t *testing.T) {
	testutil.NeedTool(t, "chromium")
	asked := new(atomic.Uint64)
	s, err := statuspage.Listen(&statuspage.Options{
		Listen: "127.0.0.1:0", Logger: testutil.Logger(t),
		Page: func() (*statuspage.PageData, error) { return pageOf(asked.Add(1)), nil },
		Ready: func() []statuspage.NotReady {
			return []statuspage.NotReady{{Name: "spare", Reason: "no handshake since the start"}}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	base := "http://" + s.Addr().String() + "/"
	b := startBrowser(t)
	b.call("Emulation.setDeviceMetricsOverride", `{"width":1280,"height":900,"deviceScaleFactor":1,"mobile":false}`)
	b.call("Page.navigate", `{"url":"`+base+`"}`)
	b.until("peers are there", `document.querySelectorAll("#peers-body tr").length === 9`)

	// Plots move under traffic.
	b.until("the plot has a line", `document.querySelector("#plot .rx-line")?.getAttribute("d").includes("L") === true`)
	b.until("bytes were received", `history_.total.rx.at(-1) > 0`)
	before := b.eval(`document.querySelector("#plot .rx-line").getAttribute("d")`)
	b.until("the plot moves", `document.querySelector("#plot .rx-line").getAttribute("d") !== `+before)

	// What peers are called is text.
	b.want(`[...document.querySelectorAll(".peer")].some((e) => e.textContent === `+quote(hostileName)+`)`, `true`)
	b.want(`document.querySelectorAll("main img, main script").length`, `0`)
	b.want(`document.querySelectorAll("#drops-body tr").length`, `3`)
	b.want(`document.querySelectorAll("#topology circle.hub").length`, `3`)
	b.want(`document.getElementById("state").textContent`, `"not ready"`)

	// Sorting and choosing by keyboard.
	b.eval(`document.querySelector("#col-latency button").focus()`)
	b.enter()
	b.want(`document.getElementById("col-latency").getAttribute("aria-sort")`, `"ascending"`)
	b.want(`document.querySelector("#peers-body .peer").textContent`, `"office"`)
	b.want(`[...document.querySelectorAll("#peers-body .peer")].at(-1).textContent`, `"spare"`)
	b.enter()
	b.want(`document.getElementById("col-latency").getAttribute("aria-sort")`, `"descending"`)
	b.want(`document.querySelector("#peers-body .peer").textContent`, `"camera"`)
	b.eval(`document.querySelector("#peers-body .peer").focus()`)
	b.enter()
	b.want(`document.getElementById("chosen").textContent`, `"camera"`)
	b.until("another answer", fmt.Sprintf(`history_.seq > %s`, b.eval(`history_.seq`)))
	b.want(`document.activeElement.textContent`, `"camera"`)
	b.eval(`document.getElementById("choose-all").click()`)
	b.eval(`document.activeElement.blur(); document.querySelector("#col-name button").click()`)

	for _, width := range []int{1280, 390} {
		for _, theme := range []string{"light", "dark"} {
			b.call("Emulation.setDeviceMetricsOverride", fmt.Sprintf(`{"width":%d,"height":900,"deviceScaleFactor":1,"mobile":false}`, width))
			b.call("Emulation.setEmulatedMedia", `{"features":[{"name":"prefers-color-scheme","value":"`+theme+`"}]}`)
			b.eval(pastOfPage)
			b.want(`document.documentElement.scrollWidth > innerWidth`, `false`)
			b.eval(`new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))`)
			b.screenshot(fmt.Sprintf("page-%d-%s.png", width, theme))
		}
	}
	b.quiet(base)

	// The router ends.
	stop()
	b.until("the page notices", `document.getElementById("state").textContent.startsWith("no answer")`)
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

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
