// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"sync/atomic"
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
