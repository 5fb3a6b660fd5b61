// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package metrics

import (
	"bufio"
	"compress/gzip"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

const (
	// maxScrapes is how many scrapes are under way at a time: two servers, and
	// somebody who looks. More are told to come again.
	maxScrapes = 4
	// scrapeTime bounds a scrape: Prometheus itself gives up after 10 s.
	scrapeTime = 15 * time.Second
	// writeSize is how much text goes to the client at a time.
	writeSize = 64 << 10
)

// Handler returns what serves /metrics: the text format, OpenMetrics or protobuf, as
// the client prefers, gzipped if it wants that and is not on this host, where sending
// costs less than compressing. Scrapes beyond four at a time get 503,
// and one that takes more than 15 s, because the client is slow, is cut off.
func (r *Registry) Handler() http.Handler { return http.HandlerFunc(r.serve) }

func (r *Registry) serve(w http.ResponseWriter, q *http.Request) {
	if q.Method != http.MethodGet && q.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	default:
		w.Header().Set("Retry-After", "5")
		http.Error(w, "too many scrapes at a time", http.StatusServiceUnavailable)
		return
	}
	// A writer without deadlines is not a connection. The server ends the deadline
	// after the answer.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(r.time))
	format := expfmt.NegotiateIncludingOpenMetrics(q.Header)
	h := w.Header()
	h.Set("Content-Type", string(format))
	h.Set("Cache-Control", "no-store")
	h.Add("Vary", "Accept, Accept-Encoding")
	zip := takesGzip(q.Header) && !onHost(q.RemoteAddr)
	if zip {
		h.Set("Content-Encoding", "gzip")
	}
	if q.Method == http.MethodHead {
		return
	}
	if err := r.write(w, format, zip); err != nil {
		// Much may have been sent: a broken answer must not look like a whole one.
		panic(http.ErrAbortHandler)
	}
}

// write writes a whole answer.
func (r *Registry) write(w io.Writer, format expfmt.Format, zip bool) error {
	if !zip {
		return r.encode(w, format)
	}
	// The fastest level: the text shrinks to a tenth at any.
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if err := r.encode(z, format); err != nil {
		return err
	}
	return z.Close()
}

// encode writes all families.
func (r *Registry) encode(w io.Writer, format expfmt.Format) error {
	b := bufio.NewWriterSize(w, writeSize)
	e := expfmt.NewEncoder(b, format)
	if err := r.each(func(f *dto.MetricFamily) error { return e.Encode(f) }, true); err != nil {
		return err
	}
	if end, ok := e.(expfmt.Closer); ok { // OpenMetrics has a last line
		if err := end.Close(); err != nil {
			return err
		}
	}
	return b.Flush()
}

// onHost reports whether a client is on this host: at a loopback address, or at the other
// end of a Unix socket, where addresses have no port.
func onHost(remote string) bool {
	at, err := netip.ParseAddrPort(remote)
	return err != nil || at.Addr().Unmap().IsLoopback()
}

// takesGzip reports whether the client takes gzip.
func takesGzip(h http.Header) bool {
	for part := range strings.SplitSeq(strings.Join(h.Values("Accept-Encoding"), ","), ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			weight := strings.ReplaceAll(q, " ", "")
			return weight != "q=0" && weight != "q=0.0" && weight != "q=0.00" && weight != "q=0.000"
		}
	}
	return false
}
