// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package web

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
)

// Paths that are answered.
const (
	pagePath    = "/"
	metricsPath = "/metrics"
	healthPath  = "/healthz"
	readyPath   = "/readyz"
	statusPath  = "/api/v1/status"
	dataPath    = "/api/v1/page"
)

// serve answers a request.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		return
	}
	defer s.wg.Done()
	if c := connOf(r.Context()); c != nil {
		c.begin()
		defer c.end()
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", noContent)
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	if !s.guard.check(w, r) {
		return
	}
	if r.URL.Path == healthPath { // also when there is much to do
		text(w, "ok\n")
		return
	}
	select {
	case s.slots <- struct{}{}:
	default:
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable, "too many requests at once")
		return
	}
	defer func() { <-s.slots }()
	s.route(w, r)
}

// route answers a request that may be answered.
func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case pagePath:
		if s.o.Page == nil {
			break
		}
		s.page.serve(w)
		return
	case dataPath:
		if s.o.Page == nil {
			break
		}
		s.serveData(w, r)
		return
	case metricsPath:
		if s.o.Metrics == nil {
			break
		}
		s.o.Metrics.ServeHTTP(w, r)
		return
	case statusPath:
		if s.status == nil {
			break
		}
		s.serveStatus(w)
		return
	case readyPath:
		s.serveReady(w)
		return
	}
	http.Error(w, "not found", http.StatusNotFound)
}

func (s *Server) serveData(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	since, err := strconv.ParseUint(q.Get("since"), 10, 64)
	id := q.Get("history")
	if err != nil {
		id = "" // all of it
	}
	v := s.history.view(id, since)
	if v == nil {
		w.WriteHeader(http.StatusNoContent) // nothing is known yet
		return
	}
	v.Interval = s.o.timing.sample.Seconds()
	v.NotReady = s.notReady()
	s.json(w, http.StatusOK, v)
}

func (s *Server) serveStatus(w http.ResponseWriter) {
	b, err := s.status.get()
	if err != nil {
		s.log.Warn("status is not available", "err", err)
		http.Error(w, "status is not available", http.StatusInternalServerError)
		return
	}
	writeJSON(w, http.StatusOK, b)
}

// readiness is the answer to /readyz.
type readiness struct {
	Ready   bool       `json:"ready"`
	Missing []NotReady `json:"missing"`
}

func (s *Server) serveReady(w http.ResponseWriter) {
	missing := s.notReady()
	if len(missing) > 0 {
		s.json(w, http.StatusServiceUnavailable, &readiness{Missing: missing})
		return
	}
	s.json(w, http.StatusOK, &readiness{Ready: true, Missing: []NotReady{}})
}

func (s *Server) notReady() []NotReady {
	if s.o.Ready == nil {
		return nil
	}
	return s.o.Ready()
}

// json answers with v.
func (s *Server) json(w http.ResponseWriter, code int, v any) {
	b, err := encode(v)
	if err != nil {
		s.log.Warn("answer cannot be written as json", "err", err)
		http.Error(w, "not available", http.StatusInternalServerError)
		return
	}
	writeJSON(w, code, b)
}

// encode returns the JSON of v with a line break at its end.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func writeJSON(w http.ResponseWriter, code int, b []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(code)
	w.Write(b) // an error is the client's affair
}

func text(w http.ResponseWriter, s string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write([]byte(s))
}
