// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tailscale/wireguard-go/device"
	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/internal/hostnet"
	"github.com/tunrouter/tunrouter/internal/roomlog"
	"github.com/tunrouter/tunrouter/netstack"
	"github.com/tunrouter/tunrouter/netstack/proxy"
	"github.com/tunrouter/tunrouter/peers"
	"github.com/tunrouter/tunrouter/peers/path"
	"github.com/tunrouter/tunrouter/peers/relay"
	"github.com/tunrouter/tunrouter/tunwrap"
	"github.com/tunrouter/tunrouter/tunwrap/filter"
	"github.com/tunrouter/tunrouter/tunwrap/hub"
	"github.com/tunrouter/tunrouter/uapi"
	"golang.org/x/sync/errgroup"
)

// undoTimeout bounds what Close does to the host: hooks, DNS, rules.
const undoTimeout = 30 * time.Second

// An Engine is one running router. [New] makes one.
type Engine struct {
	// Immutable after New.
	log     *slog.Logger
	rooms   map[string]*slog.Logger // for rooms below
	mode    config.Mode
	started time.Time
	opts    Options
	name    string
	tun     *tunwrap.Device
	netdev  *netstack.Device // nil unless in netstack mode
	hub     *hub.Device      // around tun
	filter  *filter.Filter
	bind    *peers.Bind
	dev     *device.Device
	control *uapi.Server // nil without a control socket

	services *services // none unless in netstack mode
	relays   *relays
	serving  *relayServer
	observer observer
	alive    aliveChecks
	advice   advice
	link     *hostnet.LinkWatch // nil: no TUN of this host, or the kernel does not tell
	counted  handshakeCounters
	devices  deviceCounters
	captures captures
	inside   *inside // nil: what the router sends never goes through the tunnel

	xdp atomic.Pointer[xdpState] // nil: not asked for; changes are made under mu

	mu      sync.Mutex // serialises changes and guards the fields below
	cfg     *config.Config
	known   map[peers.Key]struct{} // peers that the device has
	names   map[peers.Key]string   // of cfg.Peers, those that have one
	allowed *allowedIPs
	private peers.Key
	public  peers.Key
	mark    uint32
	port    uint16         // as asked for: 0 means any
	sockets socketSettings // what the Bind was told last; zero when that failed
	// discovering is the private key that path discovery uses; zero: it is off.
	discovering peers.Key
	host        *hostState

	parties   parties
	hubActive bool                  // somebody wants to know where addresses are
	addresses []netip.Prefix        // of the tunnel, as configured
	around    *hostnet.Surroundings // nil: not known
	moved     bool                  // the host's routes may have changed since

	closeOnce sync.Once
	closeErr  error
	done      chan struct{} // closed when Close has finished
}

// New builds and starts a router. The configuration is not kept or changed. In
// case of an error nothing is left behind.
func New(cfg *config.Config, o *Options) (_ *Engine, err error) {
	e := &Engine{
		opts:    o.withDefaults(),
		cfg:     cfg,
		names:   peerNames(cfg),
		known:   make(map[peers.Key]struct{}),
		allowed: newAllowedIPs(),
		parties: make(parties),
		moved:   true,
		done:    make(chan struct{}),
	}
	e.rooms = roomLoggers(e.opts.Logger)
	e.log = e.logOf(roomlog.Engine)
	e.mode, e.started = cfg.Router.Mode, time.Now()
	e.services = newServices(e.log)
	e.relays = newRelays(e.logOf(roomlog.Peers))
	e.serving = newRelayServer(e.logOf(roomlog.Relay))
	e.control = e.opts.Control
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Close())
		}
	}()
	if err := e.openDevice(); err != nil {
		return nil, err
	}
	if err := e.openHub(); err != nil {
		return nil, err
	}
	if err := e.openControl(); err != nil {
		return nil, err
	}
	e.sockets = e.socketSettings(&cfg.Router)
	e.bind = peers.NewBind(e.bindOptions(e.sockets))
	e.mu.Lock()
	err = e.updateXDPLocked(cfg.Router.XDP)
	e.mu.Unlock()
	if err != nil {
		return nil, err
	}
	e.openInterface()
	e.dev = device.NewDevice(e.hub, e.bind, deviceLogger(e.logOf(roomlog.Device), &e.devices), deviceOptions(&e.counted)...)
	if err := e.start(); err != nil {
		return nil, err
	}
	e.mu.Lock()
	err = e.updateRelayLocked(cfg)
	e.updateAdviceLocked(cfg)
	e.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if err := e.updateObserver(cfg); err != nil {
		return nil, err
	}
	if err := e.updateServices(cfg, false); err != nil {
		return nil, err
	}
	e.updateAlive(cfg)
	e.log.Info("router started", "name", e.name, "mode", cfg.Router.Mode.String(), "peers", len(cfg.Peers))
	return e, nil
}

// start configures the device and brings it up, together with the host around
// it. A TUN whose host is configured by somebody else comes up when its link
// does.
func (e *Engine) start() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.addresses = e.cfg.Interface.Addresses
	if err := e.applyLocked(e.initialRequest()); err != nil {
		return err
	}
	if err := e.updateHubLocked(e.cfg); err != nil {
		return err
	}
	e.nameEndpoints(e.cfg.Peers)
	e.updatePathsLocked(e.cfg)
	if !e.opts.HostNetwork && !e.ownUp() {
		return nil
	}
	// Before anything is done to the host: a port that is taken is found here.
	if err := e.up(); err != nil {
		return portError(e.port, err)
	}
	if e.ownUp() {
		return nil
	}
	if err := e.hostUp(); err != nil {
		return err
	}
	e.moved = true
	e.updateRoutesLocked(e.hubActive)
	// The TUN was seen down at first, which may have taken the device down again.
	if err := e.up(); err != nil {
		return portError(e.port, err)
	}
	return nil
}

// ownUp reports whether the device comes up by itself, since there is no link here
// that could.
func (e *Engine) ownUp() bool { return e.netdev != nil || e.opts.Elsewhere }

// up brings the device up. A router without an interface here does without the
// firewall mark if it has no CAP_NET_ADMIN: it changes no routes that the mark would
// be for.
func (e *Engine) up() error {
	err := e.dev.Up()
	var mark *batching.MarkError
	if !e.ownUp() || !errors.As(err, &mark) {
		return err
	}
	e.log.Warn("packets are sent without FwMark", "err", err)
	none := uint32(0)
	return errors.Join(e.applyDeviceLocked(&uapi.SetRequest{FwMark: &none}), e.dev.Up())
}

// Run serves until ctx ends, the TUN is deleted, the control socket is deleted, or
// what [STDIOTunnel] connects has ended, all of which are normal ends, and closes the
// Engine before it returns. It is called once.
func (e *Engine) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var g errgroup.Group
	g.Go(func() error { return e.bind.RunResolver(ctx) })
	g.Go(func() error { return e.bind.RunPaths(ctx) })
	if e.link != nil {
		g.Go(func() error { e.link.Run(ctx); return nil })
	}
	g.Go(func() error { return e.followRoutes(ctx) })
	g.Go(func() error { return e.dropReport().run(ctx) })
	g.Go(func() error { return e.followPaths(ctx) })
	g.Go(func() error {
		defer cancel() // standard input and output are done, or ctx is
		return e.services.run(ctx)
	})
	if e.control != nil {
		g.Go(func() error {
			defer cancel()
			err := e.control.Serve(ctx, handler{e})
			switch {
			case errors.Is(err, uapi.ErrSocketGone):
				e.log.Info("control socket was deleted, ending")
				return nil
			case errors.Is(err, net.ErrClosed):
				return nil
			}
			return err
		})
	}
	select {
	case <-ctx.Done():
	case <-e.dev.Wait():
		e.log.Info("tunnel device is gone, ending")
	case <-e.done:
	}
	cancel()
	return errors.Join(g.Wait(), e.Close())
}

// Close ends the router and takes back all it did to the host. It is
// idempotent, and returns when everything has ended.
func (e *Engine) Close() error {
	e.closeOnce.Do(func() {
		defer close(e.done)
		e.closeErr = e.close()
	})
	<-e.done
	return e.closeErr
}

func (e *Engine) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), undoTimeout)
	defer cancel()
	var errs error
	e.captures.close()
	if e.control != nil {
		errs = errors.Join(errs, e.control.Close())
	}
	errs = errors.Join(errs, e.observer.close(), e.services.close(), e.serving.close())
	e.alive.close()
	if e.link != nil {
		e.link.Close()
	}
	errs = errors.Join(errs, e.hostDown(ctx))
	errs = errors.Join(errs, e.closeXDP())
	if e.dev != nil {
		e.log.Info("router ended", "name", e.name)
	}
	return errs
}

// closeDevice ends the WireGuard device and with it the TUN and the sockets. It
// is idempotent.
func (e *Engine) closeDevice() error {
	switch {
	case e.dev != nil:
		e.dev.Close() // closes the TUN and the Bind
		<-e.dev.Wait()
	case e.tun != nil:
		return e.tun.Close()
	case e.opts.Device != nil:
		return e.opts.Device.Close()
	}
	return nil
}

// Name returns the name of the tunnel interface.
func (e *Engine) Name() string { return e.name }

// ListenPort returns the UDP port in use, 0 while the device is down.
func (e *Engine) ListenPort() uint16 { return e.bind.Port() }

// Net returns the network inside the tunnel; nil unless in netstack mode.
func (e *Engine) Net() *netstack.Net {
	if e.netdev == nil {
		return nil
	}
	return e.netdev.Net()
}

// Stats are counters of the rooms below, for programs that embed a router.
type Stats struct {
	// TUN counts the host side.
	TUN tunwrap.Stats
	// Hub counts what passes from peer to peer, Filter what the rules decide.
	Hub    hub.Stats
	Filter filter.Stats
	// Network counts the network side.
	Network peers.Stats
	// Paths counts path discovery, nil while it is off. Relay counts what this router
	// forwards as a relay, nil unless it is one.
	Paths *path.Stats
	Relay *relay.Stats
	// Netstack counts what the stack does, nil unless in netstack mode, and Services
	// what each proxy, forward and the subnet router do.
	Netstack *netstack.Stats
	Services []ServiceStats
}

// ServiceStats are the counters of one proxy, forward or the subnet router.
type ServiceStats struct {
	Section string // of the configuration, without brackets
	Listen  string // where it listens, "" for nowhere
	Target  string // where its flows go, "" when they say so themselves
	proxy.Stats
}

// Stats returns a snapshot of the counters.
func (e *Engine) Stats() Stats {
	s := Stats{TUN: e.tun.Stats(), Hub: e.hub.Stats(), Filter: e.filter.Stats(), Network: e.bind.Stats()}
	if paths, ok := e.bind.PathStats(); ok {
		s.Paths = &paths
	}
	s.Relay = e.serving.stats()
	if e.netdev != nil {
		stack := e.netdev.Stats()
		s.Netstack = &stack
	}
	e.services.each(func(r *runningService) {
		s.Services = append(s.Services, ServiceStats{r.section, r.address(), r.target, r.Stats()})
	})
	return s
}

// openControl opens the control socket that the configuration asks for. Without
// privilege the usual place is out of reach; a netstack router runs without
// then.
func (e *Engine) openControl() error {
	r := &e.cfg.Router
	if e.control != nil || e.opts.NoControl || r.ControlSocket == "off" {
		return nil
	}
	path := r.ControlSocket
	if path == "" {
		path = filepath.Join(e.opts.ControlDir, e.name+".sock")
	}
	s, err := uapi.Listen(path, &uapi.Options{Logger: e.logOf(roomlog.Control)})
	switch {
	case err == nil:
		e.control = s
	case r.Mode == config.ModeNetstack && r.ControlSocket == "" && !errors.Is(err, uapi.ErrInUse):
		e.log.Warn("running without control socket; set [Router] ControlSocket to a path that can be written", "path", path, "err", err)
	default:
		return fmt.Errorf("open control socket: %w", err)
	}
	return nil
}

// handler serves the control socket.
type handler struct{ e *Engine }

func (h handler) Get() (*uapi.Device, error) { return h.e.Status() }

func (h handler) Set(r *uapi.SetRequest) error {
	h.e.mu.Lock()
	defer h.e.mu.Unlock()
	return h.e.applyLocked(r)
}

func (h handler) Reload() error { return h.e.ReloadFile() }
