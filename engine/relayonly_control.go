// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/internal/roomlog"
	"github.com/tunrouter/tunrouter/uapi"
)

// openControl opens the control socket. One that nobody has asked for by ControlSocket
// is a convenience: a relay needs no privilege, and the usual folder belongs to root.
func (r *relayOnly) openControl() error {
	path := r.cfg.Router.ControlSocket
	asked := path != ""
	switch {
	case path == config.ControlSocketOff, !asked && (r.opts.ControlDir == "" || r.name == ""):
		return nil
	case !asked:
		path = filepath.Join(r.opts.ControlDir, r.name+".sock")
	}
	s, err := uapi.Listen(path, &uapi.Options{Logger: roomlog.For(r.opts.Logger, roomlog.Control)})
	switch {
	case err == nil:
		r.control = s
	case asked:
		return fmt.Errorf("open control socket: %w", err)
	default:
		r.log.Info("running without control socket; set [Router] ControlSocket to a path that can be written", "path", path, "err", err)
	}
	return nil
}

// serveControl serves the control socket until ctx ends or the socket is deleted, which
// ends the relay as it ends a router.
func (r *relayOnly) serveControl(ctx context.Context) error {
	err := r.control.Serve(ctx, relayHandler{r})
	switch {
	case errors.Is(err, uapi.ErrSocketGone):
		r.log.Info("control socket was deleted, ending")
		return nil
	case errors.Is(err, net.ErrClosed):
		return nil
	}
	return err
}

// relayHandler serves the control socket of a relay alone.
type relayHandler struct{ r *relayOnly }

func (h relayHandler) Get() (*uapi.Device, error) { return h.r.status() }

func (h relayHandler) Set(*uapi.SetRequest) error {
	return &uapi.Error{Errno: uapi.ErrnoUnsupported, Err: errors.New("a relay has no peers and no device; change its file and reload it")}
}

func (h relayHandler) Reload() error {
	if h.r.opts.Load == nil {
		return ErrNoFile
	}
	next, err := h.r.opts.Load()
	if err != nil {
		return err
	}
	return h.r.reload(next)
}

// Ask answers what a relay can answer of the questions of the command line.
func (h relayHandler) Ask(name string, args []uapi.KeyValue) ([]byte, error) {
	if name == "log" {
		return askLog(h.r.opts.Logger, args)
	}
	return nil, errUnknownQuestion
}
