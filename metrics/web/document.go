// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package web

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

//go:embed page
var pageFiles embed.FS

// scripts are the parts of the script in their order.
var scripts = [...]string{"format.js", "plot.js", "tables.js", "topology.js", "relay.js", "token.js", "main.js"}

// noContent is the policy of answers that are no documents.
const noContent = "default-src 'none'; frame-ancestors 'none'"

// A document is the page, with its style and its script in it.
type document struct {
	body   []byte
	policy string
}

// newDocument puts the page together. Its policy allows this style, this script and
// questions to this server, and nothing else: no style or script that got into the
// document by a name of a peer would run.
func newDocument() (*document, error) {
	html, err := part("page.html")
	if err != nil {
		return nil, err
	}
	style, err := part("page.css")
	if err != nil {
		return nil, err
	}
	script := ""
	for _, name := range scripts {
		text, err := part(name)
		if err != nil {
			return nil, err
		}
		script += text
	}
	body := strings.NewReplacer("/*STYLE*/", style, "/*SCRIPT*/", script).Replace(html)
	return &document{body: []byte(body), policy: fmt.Sprintf("default-src 'none'; script-src '%s'; style-src '%s'; connect-src 'self'; img-src data:; "+
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'", hashOf(script), hashOf(style))}, nil
}

func part(name string) (string, error) {
	b, err := pageFiles.ReadFile("page/" + name)
	return string(b), err
}

// hashOf returns a hash as a policy names it (CSP level 2, 4.2.5).
func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func (d *document) serve(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(d.body)))
	h.Set("Content-Security-Policy", d.policy)
	w.Write(d.body)
}
