// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"cmp"
	"context"
	"log/slog"
	"sync"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/internal/hostnet"
	"github.com/tunrouter/tunrouter/internal/roomlog"
	"github.com/tunrouter/tunrouter/metrics/web"
	"github.com/tunrouter/tunrouter/uapi"
)

// adviceKey is the extension of WireGuard's configuration protocol with a condition of
// the host that hurts: the JSON form of an [Advice].
const adviceKey = "tunrouter_advice"

// An Advice is a condition of the host, or of what it is asked for, that hurts the tunnel. It has a JSON form.
type Advice struct {
	ID       string `json:"id"`
	Severity string `json:"severity"` // error, warning or info
	Text     string `json:"text"`
	Remedy   string `json:"remedy"`
}

// AdviceOf returns the advice about the host of a device that [Engine.Status], or the
// control socket of a router, gave; the worst first.
func AdviceOf(d *uapi.Device) []Advice { return extrasOf[Advice](d, adviceKey) }

// advice is what was found about the host at the start, or at the last reload.
type advice struct {
	mu   sync.Mutex
	list []Advice
}

// updateAdviceLocked looks at the host, and logs what was not there before.
func (e *Engine) updateAdviceLocked(cfg *config.Config) {
	sockets := e.socketSettings(&cfg.Router).options
	o := hostnet.AdviceOptions{
		Mark:          e.mark,
		ReceiveBuffer: cmp.Or(sockets.ReceiveBuffer, batching.DefaultBuffer), SendBuffer: cmp.Or(sockets.SendBuffer, batching.DefaultBuffer),
		NoGSO: sockets.DisableGSO, NoGRO: sockets.DisableGRO, NoSentinel: cfg.Router.GSOSentinel == config.SwitchOff,
	}
	if e.inside != nil {
		o.Interface = e.name
	}
	o.Forwards4, o.Forwards6 = forwardsFor(cfg)
	if e.host != nil {
		o.PolicyRouting = e.host.autoMark != 0
	}
	found := hostnet.Advise(o)
	e.advice.mu.Lock()
	defer e.advice.mu.Unlock()
	old := e.advice.list
	e.advice.list = nil
	for _, f := range found {
		a := Advice{ID: f.ID, Severity: string(f.Severity), Text: f.Text, Remedy: f.Remedy}
		e.advice.list = append(e.advice.list, a)
		if !known(old, a.ID) {
			e.logOf(roomlog.Host).Log(context.Background(), adviceLevel(f.Severity), "the host could be better", "what", f.Text, "remedy", f.Remedy)
		}
	}
}

func known(list []Advice, id string) bool {
	for i := range list {
		if list[i].ID == id {
			return true
		}
	}
	return false
}

func adviceLevel(s hostnet.Severity) slog.Level {
	if s == hostnet.SeverityError {
		return slog.LevelWarn
	}
	return slog.LevelInfo // the status has it; who has no privilege cannot change it
}

func (e *Engine) pageAdvice() []web.PageAdvice {
	var out []web.PageAdvice
	for _, c := range e.adviceNow() {
		out = append(out, web.PageAdvice{Severity: c.Severity, Text: c.Text, Remedy: c.Remedy})
	}
	return out
}

// adviceLines returns the lines that AdviceOf reads.
func (e *Engine) adviceLines() (lines []uapi.KeyValue, err error) {
	for _, a := range e.adviceNow() {
		line, err := jsonLine(adviceKey, &a)
		if err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	return lines, nil
}
