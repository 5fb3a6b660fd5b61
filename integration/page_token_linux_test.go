// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tunrouter/tunrouter/internal/testutil"
	statuspage "github.com/tunrouter/tunrouter/metrics/web"
)

const pageToken = "correct-horse-battery+/="

// servePage serves a page and the rest until the test ends, and returns its address.
func servePage(t *testing.T, o *statuspage.Options) string {
	t.Helper()
	o.Listen, o.Logger = "127.0.0.1:0", testutil.Logger(t)
	s, err := statuspage.Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return "http://" + s.Addr().String() + "/"
}

// TestStatusPageWithAToken: somebody opens the page of a router that has a token. He is
// asked for it by the page, not by a dialog of the browser, is told when it is wrong, and
// asked once for each tab; a link brings it along, and it does not stay in the address.
func TestStatusPageWithAToken(t *testing.T) {
	testutil.NeedTool(t, "chromium")
	asked := new(atomic.Uint64)
	base := servePage(t, &statuspage.Options{
		Token: pageToken,
		Page:  func() (*statuspage.PageData, error) { return pageOf(asked.Add(1)), nil },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "router_build_info 1\n")
		}),
	})
	b := startBrowser(t)
	size := func(width int, theme string) {
		b.call("Emulation.setDeviceMetricsOverride", fmt.Sprintf(`{"width":%d,"height":700,"deviceScaleFactor":1,"mobile":false}`, width))
		b.call("Emulation.setEmulatedMedia", `{"features":[{"name":"prefers-color-scheme","value":"`+theme+`"}]}`)
	}
	const form = `document.getElementById("token-form")?.hidden === false`
	const peers = `document.querySelectorAll("#peers-body tr").length === 9`
	size(1280, "light")
	b.call("Page.navigate", `{"url":"`+base+`"}`)
	b.until("the page asks for the token", form)
	b.want(`document.getElementById("main").hidden`, `true`)
	b.want(`document.activeElement.id`, `"token"`)
	b.want(`document.getElementById("token-wrong").textContent`, `""`)
	b.want(`document.body.textContent.includes("office")`, `false`)
	b.want(`document.documentElement.scrollWidth > innerWidth`, `false`)
	b.screenshot("token-1280-light.png")

	b.call("Input.insertText", `{"text":"not-the-token-at-all"}`)
	b.enter()
	b.until("the page says that it is wrong", `document.getElementById("token-wrong").textContent !== ""`)
	b.want(`document.getElementById("token").value`, `""`)
	b.want(`sessionStorage.length`, `0`)
	size(390, "dark")
	b.want(`document.documentElement.scrollWidth > innerWidth`, `false`)
	b.screenshot("token-390-dark.png")
	size(1280, "light")

	b.call("Input.insertText", `{"text":`+quote(pageToken)+`}`)
	b.enter()
	b.until("peers are there", peers)
	b.want(form, `false`)
	b.want(`document.getElementById("main").hidden`, `false`)
	b.want(`document.cookie + localStorage.length`, `"0"`)

	// The same tab again, and what a link of the page leads to.
	b.call("Page.reload", `{}`)
	b.until("peers are there again", peers)
	b.want(form, `false`)
	b.eval(`document.querySelector('#links a[href="metrics"]').click()`)
	b.until("metrics", `location.protocol === "blob:" && document.body.textContent.includes("router_build_info")`)

	// Another tab: the token comes by the link, and goes from the address.
	b.call("Page.navigate", `{"url":"`+base+`"}`)
	b.until("peers, as the tab has it", peers)
	b.eval(`sessionStorage.clear()`)
	b.call("Page.navigate", `{"url":"about:blank"}`)
	b.call("Page.navigate", `{"url":"`+base+`#token=`+strings.NewReplacer("+", "%2B", "/", "%2F").Replace(pageToken)+`"}`)
	b.until("peers by a link", peers)
	b.want(`location.href`, quote(base))
	b.want(`history.length > 0 && !document.documentElement.outerHTML.includes("correct-horse")`, `true`)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, u := range b.urls {
		if strings.Contains(strings.SplitN(u, "#", 2)[0], "correct-horse") {
			t.Errorf("the token is in an address that was asked for: %s", u)
		}
	}
	for _, e := range b.errors {
		// Chromium tells of each answer 401 by itself.
		if !strings.Contains(e, "401 (Unauthorized)") {
			t.Errorf("console: %s", e)
		}
	}
}

// TestRelayPageInABrowser: the page of a relay alone has no peers, and says what the relay
// does.
func TestRelayPageInABrowser(t *testing.T) {
	testutil.NeedTool(t, "chromium")
	asked := new(atomic.Uint64)
	base := servePage(t, &statuspage.Options{Page: func() (*statuspage.PageData, error) {
		n := asked.Add(1)
		return &statuspage.PageData{
			Interface: "relay-fra", Mode: "relay", Version: "v1.2.3", Listen: []string{"0.0.0.0:3479", "[::]:3479"},
			RelayServer: &statuspage.PageRelayServer{
				Clients: 240, Registrations: 181, Sessions: 96, Bound: 93, Packets: 812_345 * n, Bytes: 900_000_000 * n,
				RxBytes: n * n * 40_000_000, TxBytes: n * n * 39_000_000,
				Ended: []statuspage.PageCount{{Name: "silent", N: 512}, {Name: "not_bound", N: 7}},
			},
			Drops: []statuspage.PageDrop{{Stage: "relay", Reason: "unknown_session", Packets: 1200 + n}},
		}, nil
	}})
	b := startBrowser(t)
	for _, width := range []int{1280, 390} {
		b.call("Emulation.setDeviceMetricsOverride", fmt.Sprintf(`{"width":%d,"height":800,"deviceScaleFactor":1,"mobile":false}`, width))
		b.call("Page.navigate", `{"url":"`+base+`"}`)
		b.until("what the relay does", `document.querySelectorAll("#relay-facts dt").length === 4`)
		b.until("the plot has a line", `document.querySelector("#plot .rx-line")?.getAttribute("d").includes("L") === true`)
		b.want(`document.getElementById("peers-section").hidden && document.getElementById("topology-section").hidden`, `true`)
		b.want(`document.getElementById("relay-facts").textContent.includes("93 connected")`, `true`)
		b.want(`document.querySelectorAll("#drops-body tr").length`, `1`)
		b.want(`document.documentElement.scrollWidth > innerWidth`, `false`)
		b.screenshot(fmt.Sprintf("relay-%d.png", width))
	}
	b.quiet(base)
}
