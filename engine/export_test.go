// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"net/netip"
	"reflect"
	"time"

	"github.com/tunrouter/tunrouter/batching"
	"github.com/tunrouter/tunrouter/batching/xdp"
	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/metrics"
	"github.com/tunrouter/tunrouter/peers"
	"github.com/tunrouter/tunrouter/tunwrap"
	"github.com/tunrouter/tunrouter/uapi"
)

// SocketOptions returns what becomes of a [Router] section.
func SocketOptions(r *config.Router) (o batching.Options, sockets int) {
	s := new(Engine).socketSettings(r)
	return s.options, s.count
}

// SocketLines is what SocketGroups reads back.
func SocketLines(s *peers.Stats) ([]uapi.KeyValue, error) { return socketLines(s) }

// QueuesInfoOf is what the status says of a device with these counters.
func QueuesInfoOf(s *tunwrap.Stats) *QueuesInfo { return queuesInfo(s) }

// Ask is what the control socket asks the router.
func Ask(e *Engine, name string, args []uapi.KeyValue) ([]byte, error) {
	return handler{e}.Ask(name, args)
}

// ForwardsFor reports whether the host has to forward packets of a family.
func ForwardsFor(cfg *config.Config) (four, six bool) { return forwardsFor(cfg) }

// An Inside knows which addresses lead into the interface with that index.
type Inside struct{ *inside }

func NewInside(index int) Inside { return Inside{newInside(index)} }

func (in Inside) LeadsTo(addr netip.Addr) bool { return in.leadsTo(addr) }
func (in Inside) Forget(mark uint32)           { in.forget(mark) }

// DropReport returns what looks after drops, and logs them when it is time to.
func DropReport(e *Engine) (look func(now time.Time)) { return e.dropReport().look }

// Dropped returns how many packets were dropped.
func Dropped(e *Engine) (n uint64) {
	for _, d := range e.partsSnapshot(nil).Drops() {
		n += d.Packets
	}
	return n
}

// DeviceFormats are the lines of the WireGuard device that are counted.
func DeviceFormats() []string {
	return []string{formatKeepalive, formatSource4, formatSource6, formatVersion, formatMAC1, formatInitiation, formatResponse, formatCookie, formatCookieSecret}
}

// PCOf returns where a function begins.
func PCOf(f any) uintptr { return reflect.ValueOf(f).Pointer() }

// XDPLines is what XDPOf reads back of an underlay with that status; nil is one that
// could not be opened.
func XDPLines(asked config.XDP, st *xdp.Status, failed error) ([]uapi.KeyValue, error) {
	line, err := jsonLine(xdpKey, xdpInfo(&xdpState{asked: asked, failed: failed}, st))
	return []uapi.KeyValue{line}, err
}

// XDPMetrics is what the metrics have of it.
func XDPMetrics(asked config.XDP, st *xdp.Status) *metrics.XDP {
	return xdpMetrics(&xdpState{asked: asked}, st)
}

// XDPAdvice is what the router has to say to it.
func XDPAdvice(asked config.XDP, st *xdp.Status, failed error) []Advice {
	return xdpAdvice(&xdpState{asked: asked, failed: failed}, st)
}

// Apply is what a request over the control socket does.
func (e *Engine) Apply(r *uapi.SetRequest) error { return handler{e}.Set(r) }
