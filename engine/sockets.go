// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"errors"
	"fmt"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/internal/roomlog"
	"github.com/tunrouter/tunrouter/peers"
)

// A socketSettings is how the UDP sockets of a configuration are opened and used.
type socketSettings struct {
	options batching.Options
	count   int // of each family; 0: the default of package peers
}

// socketSettings returns what r says about the sockets, for New and Reload alike.
// The firewall mark is not part of it: the device sets it.
func (e *Engine) socketSettings(r *config.Router) socketSettings {
	return socketSettings{
		count: r.Sockets,
		options: batching.Options{
			Logger:        e.logOf(roomlog.Peers),
			DisableGSO:    r.GSO == config.SwitchOff,
			DisableGRO:    r.GRO == config.SwitchOff,
			MaxSegments:   r.GSOSegments,
			MaxBytes:      r.GSOBytes,
			Sentinel:      batchingMode(r.GSOSentinel),
			GROSlot:       r.GROSlot,
			FlushTimeout:  r.FlushTimeout,
			ReceiveBuffer: r.ReceiveBuffer,
			SendBuffer:    r.SendBuffer,
		},
	}
}

func batchingMode(s config.Switch) batching.Mode {
	switch s {
	case config.SwitchOn:
		return batching.On
	case config.SwitchOff:
		return batching.Off
	}
	return batching.Auto
}

// bindOptions returns the options of a Bind with the sockets of s.
func (e *Engine) bindOptions(s socketSettings) *peers.Options {
	return &peers.Options{
		Logger:   e.logOf(roomlog.Peers),
		Socket:   s.options,
		Sockets:  s.count,
		ListenOn: e.opts.ListenOn,
		Lookup:   e.opts.Lookup,
	}
}

// updateSocketsLocked brings the sockets to what r says: those that are open now,
// and those that the device opens later. They keep their port and what waits in
// them.
func (e *Engine) updateSocketsLocked(r *config.Router) error {
	next := e.socketSettings(r)
	if next == e.sockets {
		return nil
	}
	// Until all of it has worked nothing is known, and the next reload tries again.
	e.sockets = socketSettings{}
	reopen, err := e.bind.Reconfigure(next.options, next.count)
	if err != nil {
		err = fmt.Errorf("change UDP sockets: %w", err)
	}
	if reopen { // also after an error: sockets without receivers would swallow packets
		if updateErr := e.dev.BindUpdate(); updateErr != nil {
			err = errors.Join(err, fmt.Errorf("receive from added UDP sockets: %w", updateErr))
		}
	}
	if err != nil {
		return err
	}
	e.sockets = next
	return nil
}
