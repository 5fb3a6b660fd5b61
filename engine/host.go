// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/internal/hostnet"
	"github.com/tunrouter/tunrouter/internal/roomlog"
	"github.com/tunrouter/tunrouter/uapi"
)

// A hostState is what the router has done to the host around its TUN.
type hostState struct {
	*hostnet.State
	autoMark uint32 // firewall mark chosen for a default route; 0: none
}

// hostOptions says what the host around the TUN is to look like.
func (e *Engine) hostOptions() *hostnet.Options {
	in := &e.cfg.Interface
	o := &hostnet.Options{
		Logger:     e.logOf(roomlog.Host),
		Interface:  e.name,
		Addresses:  in.Addresses,
		MTU:        in.MTU,
		Endpoints:  e.endpointAddrs(),
		FwMark:     in.FwMark,
		DNS:        in.DNS,
		DNSSearch:  in.DNSSearch,
		PreUp:      in.PreUp,
		PostUp:     in.PostUp,
		PreDown:    in.PreDown,
		PostDown:   in.PostDown,
		HookOutput: e.opts.HookOutput,
		SetFwMark:  e.setAutoMarkLocked,
		Table:      hostTable(in.Table),
		// PostDown hooks run when the interface is gone.
		RemoveInterface: e.closeDevice,
	}
	for _, p := range e.cfg.Peers {
		o.AllowedIPs = append(o.AllowedIPs, p.AllowedIPs...)
	}
	return o
}

// setAutoMarkLocked marks what the router itself sends, so that the rules for a
// default route through the tunnel leave it alone.
func (e *Engine) setAutoMarkLocked(mark uint32) error {
	if err := e.applyDeviceLocked(&uapi.SetRequest{FwMark: &mark}); err != nil {
		return err
	}
	e.host.autoMark = mark
	return nil
}

// configuredMarkLocked returns the firewall mark that the configuration would
// have to hold for the device to be as it is.
func (e *Engine) configuredMarkLocked() uint32 {
	if e.host != nil && e.host.autoMark != 0 && e.mark == e.host.autoMark {
		return e.cfg.Interface.FwMark
	}
	return e.mark
}

// hostTable translates the Table key.
func hostTable(t config.Table) hostnet.Table {
	switch t.Mode {
	case config.TableOff:
		return hostnet.Table{Mode: hostnet.TableOff}
	case config.TableID:
		return hostnet.Table{Mode: hostnet.TableID, ID: t.ID, Name: t.Name}
	}
	return hostnet.Table{Mode: hostnet.TableAuto}
}

func (e *Engine) hostUp() error {
	e.host = &hostState{}
	s, err := hostnet.Up(context.Background(), e.hostOptions())
	if err != nil {
		e.host = nil
		return fmt.Errorf("configure the host for %s: %w", e.name, err)
	}
	e.host.State = s
	return nil
}

func (e *Engine) hostUpdate() error {
	if e.host == nil {
		return nil
	}
	if err := e.host.Update(context.Background(), e.hostOptions()); err != nil {
		return fmt.Errorf("configure the host for %s: %w", e.name, err)
	}
	return nil
}

// hostDown takes back what was done to the host and closes the device, in that
// order, after the running state has been saved if the configuration asks for
// it.
func (e *Engine) hostDown(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.host == nil || e.host.State == nil {
		return e.closeDevice()
	}
	err := e.saveConfigLocked()
	return errors.Join(err, e.host.Down(ctx), e.closeDevice())
}

// restAfter is how many times as long as it takes to read the routes they are not
// read again.
const restAfter = 20

// followRoutes tells the hub of changes to the routes of the host, and releases
// sticky sources that no longer fit them, until ctx ends. Where the host does not
// tell of changes, a source is released by the first refused packet or unanswered
// handshake.
func (e *Engine) followRoutes(ctx context.Context) error {
	err := hostnet.WatchRoutes(ctx, func() {
		e.mu.Lock()
		mark := e.mark
		began := time.Now()
		e.moved = true
		e.updateRoutesLocked(e.hubActive)
		rest := restAfter * time.Since(began)
		e.mu.Unlock()
		if e.inside != nil {
			e.inside.forget(mark)
		}
		e.tellAddresses()
		e.bind.RevalidateSources(func(remote, local netip.Addr, ifIndex uint32) bool {
			out, err := hostnet.RouteInterface(remote, local, mark)
			return err == nil && (ifIndex == 0 || out == int(ifIndex))
		})
		select { // a router with a million routes has other things to do
		case <-ctx.Done():
		case <-time.After(rest):
		}
	})
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		e.log.Warn("not following route changes", "err", err)
	}
	return nil
}

// saveConfigLocked writes the running state back to the file it came from, as
// SaveConfig asks for.
func (e *Engine) saveConfigLocked() error {
	if !e.cfg.Interface.SaveConfig || e.cfg.Path == "" {
		return nil
	}
	live, err := e.liveLocked()
	if err != nil {
		return fmt.Errorf("save %s: %w", e.cfg.Path, err)
	}
	if addrs, mtu, err := e.host.Live(); err == nil { // as wg-quick saves them
		live.Interface.Addresses = addrs
		if live.Interface.MTU != 0 {
			live.Interface.MTU = mtu
		}
	}
	if live.Interface.ListenPort == 0 {
		live.Interface.ListenPort = e.bind.Port() // wg showconf writes the port in use
	}
	for i := range live.Peers {
		p := &live.Peers[i]
		if ep := e.bind.Lookup(p.PublicKey); ep != nil && ep.Addr().IsValid() {
			a := ep.Addr()
			p.Endpoint = config.Endpoint{Host: a.Addr().String(), Port: a.Port()}
		}
	}
	return live.Save(e.cfg.Path)
}
