// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp

import (
	"maps"
	"time"

	"github.com/tunrouter/tunrouter/batching/xdp/redirect"
)

// Times of the supervisor.
const (
	// lookTime is how often it looks at what nobody reports: the number of queues,
	// and whether the program is still attached.
	lookTime = time.Second
	// firstRetry and lastRetry bound the time between attempts that fail on one
	// and the same place; attaching may reset a device.
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// A supervisor is what the goroutine of an underlay remembers between its looks.
type supervisor struct {
	u       *Underlay
	tried   place // where the last attempt failed
	retry   time.Duration
	retryAt time.Time
}

// supervise keeps the underlay going until Close. It closes first after its first
// look.
func (u *Underlay) supervise(first chan<- struct{}) {
	inNamespace(u.netns, func(err error) {
		s := &supervisor{u: u}
		if err != nil {
			u.inactive(place{}, err.Error())
			close(first)
			return
		}
		s.look()
		close(first)
		tick := time.NewTicker(lookTime)
		defer tick.Stop()
		for {
			select {
			case <-u.done:
				u.stop("closed")
				return
			case <-tick.C:
			case <-u.poke:
			}
			s.look()
		}
	})
}

// look compares what is with what ought to be, and mends it.
func (s *supervisor) look() {
	u := s.u
	p, h, err := u.view.find(&u.opt, u.mark.Load())
	u.mu.Lock()
	a := u.site
	u.mu.Unlock()
	if a != nil {
		reason := s.wrong(a, p, h, err)
		if reason == "" {
			return
		}
		u.stop(reason)
		s.retry, s.retryAt = 0, time.Time{}
	}
	switch {
	case err != nil:
		u.inactive(p, err.Error())
	case p == s.tried && time.Now().Before(s.retryAt):
	default:
		s.start(p, h)
	}
}

// wrong says why a cannot go on; empty when it can, with new addresses if need be.
func (s *supervisor) wrong(a *activation, p place, h *host, err error) string {
	switch {
	case err != nil && p.index == a.index && h == nil && p.mtu == a.place.mtu && a.program.Attached():
		// Down, or without an address for a moment: it stays in place, so that it
		// is back at once. Nothing is redirected to addresses that are gone.
		_ = a.answer(&host{mac: a.host.Load().mac})
		s.u.paused(err.Error())
		return ""
	case err != nil:
		return err.Error()
	case p != a.place:
		return changeOf(&a.place, &p)
	case !a.program.Attached():
		return "program was removed from " + p.name
	}
	if old := a.host.Load(); old.mac != h.mac || !maps.Equal(old.addrs, h.addrs) {
		if err := a.answer(h); err != nil {
			return err.Error()
		}
	}
	s.u.paused("")
	return ""
}

// changeOf says what is different.
func changeOf(a, b *place) string {
	switch {
	case a.index != b.index || a.device != b.device:
		return "interface " + a.name + " was replaced"
	case a.queues != b.queues:
		return "number of queues of " + b.name + " changed"
	case a.mtu != b.mtu:
		return "MTU of " + b.name + " changed"
	}
	return b.name + " changed"
}

// start tries to become active.
func (s *supervisor) start(p place, h *host) {
	u := s.u
	a, out, err := u.activate(p, h)
	if err == nil && a.sockets != "" {
		out.refusals = append(out.refusals, a.sockets)
	}
	u.mu.Lock()
	u.last = out
	u.mu.Unlock()
	if err != nil {
		u.inactive(p, err.Error())
		s.tried, s.retry = p, min(max(2*s.retry, firstRetry), lastRetry)
		s.retryAt = time.Now().Add(s.retry)
		return
	}
	s.tried, s.retry = place{}, 0
	for q, c := range u.conns {
		var own *lane
		if q < len(a.lanes) {
			own = a.lanes[q]
		}
		c.use(own, a.lanes[q%len(a.lanes)])
	}
	u.mu.Lock()
	a.routes.SetMark(u.mark.Load())
	u.site, u.place, u.reason = a, p, ""
	u.starts++
	a.listen(uint16(u.under.port.Load()))
	u.mu.Unlock()
	log := u.opt.Logger.With("interface", p.name, "attach", a.attach, "queues", len(a.lanes), "zero_copy", a.lanes[0].sock.ZeroCopy())
	if len(out.refusals) > 0 {
		log = log.With("refused", out.refusals)
	}
	log.Info("XDP active")
}

// stop ends what is active; the kernel's sockets take over.
func (u *Underlay) stop(reason string) {
	u.mu.Lock()
	a := u.site
	u.site, u.reason = nil, reason
	u.mu.Unlock()
	if a == nil {
		return
	}
	a.leave(u.conns)
	if counts, err := a.program.Counts(); err == nil {
		u.mu.Lock()
		for v := range counts {
			u.counts[v] += counts[v]
		}
		u.mu.Unlock()
	}
	a.close()
	u.opt.Logger.Info("XDP ended", "interface", a.name, "reason", reason)
}

// inactive notes why the underlay is not active, and logs it when it is news.
func (u *Underlay) inactive(p place, reason string) {
	u.mu.Lock()
	news := u.reason != reason
	u.place, u.reason = p, reason
	u.mu.Unlock()
	if news {
		u.opt.Logger.Warn("XDP not active, packets take the kernel's sockets", "reason", reason)
	}
}

// paused notes why an underlay in place receives nothing now; empty when it does.
func (u *Underlay) paused(reason string) {
	u.mu.Lock()
	news := u.reason != reason
	u.reason = reason
	u.mu.Unlock()
	if news && reason != "" {
		u.opt.Logger.Warn("XDP waits", "reason", reason)
	} else if news {
		u.opt.Logger.Info("XDP goes on")
	}
}

// Status describes the underlay.
func (u *Underlay) Status() Status {
	u.mu.Lock()
	a := u.site
	s := Status{
		Interface: u.place.name, Index: u.place.index,
		Active: a != nil && u.reason == "", Reason: u.reason, Refusals: u.last.refusals,
		Restarts: u.starts - min(u.starts, 1),
	}
	if s.Interface == "" {
		s.Interface = u.opt.Interface
	}
	counts := u.counts
	if a != nil {
		s.Attach = a.attach.String()
		if now, err := a.program.Counts(); err == nil {
			for v := range now {
				counts[v] += now[v]
			}
		}
	}
	u.mu.Unlock()
	s.Program = make(map[string]uint64, len(counts))
	for v, n := range counts {
		s.Program[labelOf(redirect.Verdict(v).String())] = n
	}
	s.Kernel = make(map[string]uint64, whys)
	for why := 1; why < whys; why++ {
		name := labelOf(whyName(why))
		for _, c := range u.conns {
			s.Kernel[name] += c.tx.kernel[why].Load()
		}
	}
	for _, c := range u.conns {
		s.Queues = append(s.Queues, c.status())
	}
	return s
}

// status describes the queue.
func (c *Conn) status() QueueStatus {
	s := QueueStatus{Queue: c.queue, Socket: c.socketStats()}
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.current; l != nil {
		s.Active, s.ZeroCopy = !l.leaving.Load(), l.sock.ZeroCopy()
	}
	return s
}
