// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"os"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A State is what [Up] has done to the host. It can be changed by Update and
// must be taken back by Down.
type State struct {
	// immutable after Up
	name   string
	index  int // of the interface
	ns     *namespace
	log    *slog.Logger
	run    *runner
	inject func(op, subject string) error // tests: asked before every step

	mu   sync.Mutex // guards what follows; held through Update and Down
	o    *Options   // what the host is configured for
	did  done
	over bool // Down was called
}

// done is what has been done and is to be taken back. Every field is written
// right after the step that it stands for has succeeded.
type done struct {
	addresses []netip.Prefix
	mtuFrom   *mtuInput // what the MTU was worked out from; nil: not yet
	mtuBefore int       // 0: not changed
	raised    bool      // the link was down before
	dns       *dnsRecord
	routes    map[route]struct{}
	tunnels   []*tunnel
	firewall  [2]*firewall // by family
	autoTable uint32       // the table chosen for default routes; 0: none
	mark      uint32       // the mark set through SetFwMark; 0: none
}

// Up configures the host for o and returns what is needed to take it back. When
// it fails, or ctx ends before it is done, everything is taken back before it
// returns; hooks that have run are not undone by PostDown hooks, as with
// wg-quick. Errors are of type [*Error] where a step has failed.
func Up(ctx context.Context, o *Options) (*State, error) { return up(ctx, o, nil) }

func up(ctx context.Context, o *Options, inject func(op, subject string) error) (*State, error) {
	n, err := o.normalized()
	if err != nil {
		return nil, err
	}
	ns, err := currentNamespace()
	if err != nil {
		return nil, fmt.Errorf("network namespace: %w", err)
	}
	s := &State{
		name: n.Interface, ns: ns, log: n.Logger, inject: inject, o: n,
		run: newRunner(n.Logger, n.HookOutput),
		did: done{routes: make(map[route]struct{})},
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ns.do(func() error { return s.upLocked(ctx, n) }); err != nil {
		s.closeLocked()
		return nil, err
	}
	return s, nil
}

func (s *State) upLocked(ctx context.Context, o *Options) error {
	err := s.step(ctx, "find interface", s.name, func() error {
		link, err := netlink.LinkByName(s.name)
		if isNotFound(err) {
			return errors.New("there is none with this name")
		} else if err != nil {
			return err
		}
		s.index = link.Attrs().Index
		return nil
	})
	if err != nil {
		return err
	}
	s.removeLeftovers(ctx, o)
	err = s.hooks(ctx, "PreUp", o.PreUp)
	if err == nil {
		err = s.reconcile(ctx, o)
	}
	if err == nil {
		err = s.hooks(ctx, "PostUp", o.PostUp)
	}
	if err == nil {
		s.log.Info("host network configured", "interface", s.name)
		return nil
	}
	back := s.takeBack(context.WithoutCancel(ctx))
	if s.did.mark != 0 {
		back = errors.Join(back, o.SetFwMark(0))
	}
	return errors.Join(err, back)
}

// Update brings the host from what it is configured for to o. What stays the
// same is not touched, what somebody else has removed meanwhile is put back. No
// hook is run; PreDown and PostDown of o replace those of before. When Update
// fails, the host is brought back to what it was configured for.
func (s *State) Update(ctx context.Context, o *Options) error {
	n, err := o.normalized()
	if err != nil {
		return err
	}
	if n.Interface != s.name {
		return fmt.Errorf("update of %s: the interface cannot be renamed to %s", s.name, n.Interface)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return fmt.Errorf("update of %s: %w", s.name, os.ErrClosed)
	}
	return s.ns.do(func() error {
		if err := s.step(ctx, "read the state of", s.name, s.resync); err != nil {
			return err
		}
		err := s.reconcile(ctx, n)
		if err == nil {
			s.o = n
			return nil
		}
		if back := s.reconcile(context.WithoutCancel(ctx), s.o); back != nil {
			err = errors.Join(err, fmt.Errorf("bring back the former state: %w", back))
		}
		return err
	})
}

// Down runs the PreDown hooks, takes back everything that Up and Update have
// done, removes the interface if there is a function for it, and runs the
// PostDown hooks. It goes on past errors and returns them joined; a failing
// hook is logged. ctx bounds the hooks; the rest is done even if it has ended.
// What is gone already, with the interface or by somebody else's hand, is no
// error. Down waits for its goroutines; a second Down does nothing.
func (s *State) Down(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return nil
	}
	s.over = true
	defer s.closeLocked()
	return s.ns.do(func() error {
		s.hooksAnyway(ctx, "PreDown", s.o.PreDown)
		err := s.takeBack(context.WithoutCancel(ctx))
		if s.o.RemoveInterface != nil {
			err = errors.Join(err, s.step(context.WithoutCancel(ctx), "remove interface", s.name, s.o.RemoveInterface))
		}
		s.hooksAnyway(ctx, "PostDown", s.o.PostDown)
		s.log.Info("host network restored", "interface", s.name)
		return err
	})
}

// closeLocked releases what the State itself holds.
func (s *State) closeLocked() {
	s.run.close()
	s.ns.close()
}

// reconcile does what is missing for o and takes back what is not part of it.
// It can be called again after a failure.
func (s *State) reconcile(ctx context.Context, o *Options) error {
	p, err := s.plan(o)
	if err != nil {
		return err
	}
	if err := s.addAddresses(ctx, p.addresses); err != nil {
		return err
	}
	if err := s.setMTU(ctx, o, p); err != nil {
		return err
	}
	if err := s.raise(ctx); err != nil {
		return err
	}
	if err := s.setDNS(ctx, o); err != nil {
		return err
	}
	if err := s.dropAddresses(ctx, p.addresses); err != nil {
		return err
	}
	if err := s.setRoutes(ctx, o, p); err != nil {
		return err
	}
	return s.setTunnels(ctx, o, p)
}

// plan works out the plan for o and says what is left out.
func (s *State) plan(o *Options) (plan, error) {
	var table uint32
	if o.Table.Mode == TableID {
		table = o.Table.ID
		if o.Table.Name != "" {
			var err error
			if table, err = resolveTable(os.DirFS("/"), o.Table.Name); err != nil {
				return plan{}, err
			}
		}
	}
	if table == 0 {
		table = tableMain // RT_TABLE_UNSPEC: the kernel takes it for the main table
	}
	if uint64(table) > math.MaxInt {
		return plan{}, fmt.Errorf("table %d: the largest on this system is %d", table, math.MaxInt)
	}
	p := newPlan(o, table, probeIPv6(os.DirFS("/proc/sys/net/ipv6"), s.name))
	if p.leak {
		return plan{}, stepError("route", "::/0 to "+s.name, hint(errors.New("IPv6 is off on this interface and on for others, so that IPv6 packets would leave outside the tunnel"),
			"set net.ipv6.conf."+s.name+".disable_ipv6=0 and an MTU of at least 1280, or take ::/0 out of AllowedIPs"))
	}
	if p.skipped {
		s.log.Warn("ipv6 is off on the interface; its ipv6 addresses and routes are left out", "interface", s.name)
	}
	return p, nil
}

// step runs one step, unless ctx has ended, and names it in its error.
func (s *State) step(ctx context.Context, op, subject string, f func() error) error {
	err := context.Cause(ctx)
	if err == nil && s.inject != nil {
		err = s.inject(op, subject)
	}
	if err == nil {
		err = f()
	}
	if err != nil {
		return stepError(op, subject, err)
	}
	s.log.Debug("host network step", "op", op, "subject", subject)
	return nil
}

// undo is step for taking back: what is gone already is no error.
func (s *State) undo(ctx context.Context, op, subject string, f func() error) error {
	return s.step(ctx, op, subject, func() error {
		if err := f(); err != nil && !isGone(err) {
			return err
		}
		return nil
	})
}

// takeBack takes back all that was done, past all errors. What makes a
// difference to others goes first. A link that was down is set down early, since
// the kernel then removes its routes at once, however many there are.
func (s *State) takeBack(ctx context.Context) error {
	err := s.removeDNS(ctx)
	for _, t := range s.did.tunnels {
		err = errors.Join(err, s.removeRules(ctx, t))
	}
	err = errors.Join(err, s.removeFirewall(ctx, v4), s.removeFirewall(ctx, v6))
	if _, e := netlink.LinkByIndex(s.index); isNotFound(e) {
		return err // and with it its routes and addresses
	}
	err = errors.Join(err, s.lower(ctx))
	for _, t := range s.did.tunnels {
		err = errors.Join(err, s.removeDefault(ctx, t))
	}
	err = errors.Join(err, s.removeRoutes(ctx))
	for i := len(s.did.addresses) - 1; i >= 0; i-- {
		err = errors.Join(err, s.removeAddress(ctx, s.did.addresses[i]))
	}
	return errors.Join(err, s.restoreMTU(ctx))
}

func (s *State) hooks(ctx context.Context, phase string, hooks []string) error {
	for _, h := range hooks {
		err := s.step(ctx, phase, expandHook(h, s.name), func() error {
			s.log.Info("running hook", "phase", phase, "command", expandHook(h, s.name))
			return s.run.hook(ctx, s.name, h)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// hooksAnyway runs all hooks, whatever becomes of each.
func (s *State) hooksAnyway(ctx context.Context, phase string, hooks []string) {
	for _, h := range hooks {
		if err := s.hooks(ctx, phase, []string{h}); err != nil {
			s.log.Error("hook did not succeed", "phase", phase, "err", err)
		}
	}
}

// isGone reports whether err says that what was to be removed is not there:
// ENODEV for an interface, ESRCH a route, EADDRNOTAVAIL an address, ENOENT a
// rule or an nftables table.
func isGone(err error) bool {
	return isNotFound(err) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ESRCH) ||
		errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENOENT)
}

// isNotFound reports whether err says that there is no such interface.
func isNotFound(err error) bool {
	var notFound netlink.LinkNotFoundError
	return errors.As(err, &notFound)
}

// dump repeats a listing that was interrupted by a change.
func dump[T any](list func() (T, error)) (T, error) {
	const attempts = 10
	for i := 1; ; i++ {
		v, err := list()
		if i == attempts || !errors.Is(err, netlink.ErrDumpInterrupted) {
			return v, err
		}
	}
}
