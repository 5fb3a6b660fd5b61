// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"errors"
	"fmt"

	"github.com/tunrouter/tunrouter/batching/xdp"
	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/internal/roomlog"
)

// An xdpState is the way past the kernel's sockets that the configuration asks for.
// Immutable.
type xdpState struct {
	asked    config.XDP
	underlay *xdp.Underlay // nil: it could not be opened
	failed   error         // why
}

// status describes the underlay; nil when there is none.
func (s *xdpState) status() *xdp.Status {
	if s.underlay == nil {
		return nil
	}
	st := s.underlay.Status()
	return &st
}

// updateXDPLocked brings what goes past the kernel's sockets to what the configuration
// asks for: now, or when the device comes up. It is in the network namespace of the
// calling thread, as sockets are that are opened now. Without privilege, or where there
// is no AF_XDP, the router runs with the kernel's sockets; that is tried again by the
// next call.
//
// The old one is away before the new one comes, as an interface has one program. What
// arrives in between takes the kernel's sockets.
func (e *Engine) updateXDPLocked(asked config.XDP) error {
	if now := e.xdp.Load(); now != nil {
		if now.asked == asked && now.failed == nil {
			return nil
		}
		if err := e.removeXDPLocked(); err != nil {
			return err
		}
	}
	if !asked.On {
		return nil
	}
	u, err := xdp.Open(&xdp.Options{
		Logger:    e.logOf(roomlog.Peers),
		Interface: asked.Interface,
		Queues:    asked.Queues,
		ListenOn:  e.opts.ListenOn,
	})
	if err != nil {
		next := &xdpState{asked: asked, failed: err}
		e.xdp.Store(next)
		e.log.Warn("XDP can not be used, packets take the kernel's sockets", "err", err, "remedy", next.remedy())
		return nil
	}
	e.xdp.Store(&xdpState{asked: asked, underlay: u})
	return e.setUnderlayLocked(u)
}

// removeXDPLocked makes all packets take the kernel's sockets.
func (e *Engine) removeXDPLocked() error {
	now := e.xdp.Load()
	if now.underlay == nil {
		e.xdp.Store(nil)
		return nil
	}
	err := e.setUnderlayLocked(nil)
	e.xdp.Store(nil)
	return errors.Join(err, now.underlay.Close())
}

// setUnderlayLocked gives u to the Bind, nil for none.
func (e *Engine) setUnderlayLocked(u *xdp.Underlay) error {
	reopen, err := e.bind.SetUnderlay(u)
	if err != nil {
		err = fmt.Errorf("change XDP: %w", err)
	}
	if reopen { // also after an error: somebody has to receive
		if updateErr := e.dev.BindUpdate(); updateErr != nil {
			err = errors.Join(err, fmt.Errorf("receive past the kernel's sockets: %w", updateErr))
		}
	}
	return err
}

// closeXDP ends what goes past the kernel's sockets, when nobody receives or sends any
// more. It is idempotent.
func (e *Engine) closeXDP() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if now := e.xdp.Swap(nil); now != nil && now.underlay != nil {
		return now.underlay.Close()
	}
	return nil
}
