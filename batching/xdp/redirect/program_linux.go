// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package redirect

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
)

// A Program is the loaded program with its maps. It is attached to no or one
// interface. All methods are safe for concurrent use.
type Program struct {
	// immutable after Load
	maxAddresses int
	prog         *ebpf.Program
	id           ebpf.ProgramID
	port         *ebpf.Map // array of one word: the port as it is in the packet
	addresses    *ebpf.Map // hash, key -> 1
	sockets      *ebpf.Map // XSKMAP, queue -> socket
	counts       *ebpf.Map // per-CPU array, Verdict -> frames

	// mu is held during every call, so that none uses a descriptor that Close
	// has given back. Packets do not wait for it. It guards what follows.
	mu      sync.Mutex
	closed  bool
	link    link.Link // nil while not attached
	ifindex int
}

// Load gives the program to the kernel. It is attached to nothing yet. o may be
// nil.
//
// What the verifier says against the program is in the text of the error, and is
// an [ebpf.VerifierError]. EPERM is a missing capability.
func Load(o *Options) (*Program, error) {
	opts, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &Program{maxAddresses: opts.MaxAddresses}
	if err := p.load(&opts); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Program) load(opts *Options) error {
	for _, m := range []struct {
		to   **ebpf.Map
		spec ebpf.MapSpec
	}{
		{&p.port, ebpf.MapSpec{Name: "router_port", Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1}},
		{&p.addresses, ebpf.MapSpec{Name: "router_addrs", Type: ebpf.Hash, KeySize: keyLen, ValueSize: 4, MaxEntries: uint32(opts.MaxAddresses)}},
		{&p.sockets, ebpf.MapSpec{Name: "router_sockets", Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: uint32(opts.Queues)}},
		{&p.counts, ebpf.MapSpec{Name: "router_counts", Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: 8, MaxEntries: uint32(verdicts)}},
	} {
		made, err := ebpf.NewMap(&m.spec)
		if err != nil {
			return fmt.Errorf("create map %s: %w", m.spec.Name, err)
		}
		*m.to = made
	}
	prog, err := newProgram(assemble(mapFDs{p.port.FD(), p.addresses.FD(), p.sockets.FD(), p.counts.FD()}, opts))
	if err != nil {
		return err
	}
	p.prog = prog
	info, err := prog.Info()
	if err != nil {
		return fmt.Errorf("load program: %w", err)
	}
	p.id, _ = info.ID()
	if err := p.SetAddresses(opts.Addresses); err != nil {
		return err
	}
	return p.SetPort(opts.Port)
}

// newProgram gives instructions to the verifier.
func newProgram(code asm.Instructions) (*ebpf.Program, error) {
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name:         ProgramName,
		Type:         ebpf.XDP,
		License:      "MIT",
		Instructions: code,
	})
	if v := (*ebpf.VerifierError)(nil); errors.As(err, &v) {
		return nil, fmt.Errorf("load program: %w\n%+v", err, v) // all of its log
	}
	if err != nil {
		return nil, fmt.Errorf("load program: %w", err)
	}
	return prog, nil
}

// SetPort changes the UDP port, for the next frame on; 0 redirects nothing.
func (p *Program) SetPort(port uint16) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return os.ErrClosed
	}
	if err := p.port.Put(uint32(0), uint32(wire(port))); err != nil {
		return fmt.Errorf("redirect: set port: %w", err)
	}
	return nil
}

// SetAddresses changes the destination addresses. Those that are in the old and in
// the new list are redirected throughout. Nothing is changed when an address is
// refused ([ErrAddress]) or they are too many ([ErrTooManyAddresses]).
//
// A broadcast address of a subnet looks like any other: the caller leaves it out.
func (p *Program) SetAddresses(addrs []netip.Addr) error {
	want, err := keysOf(addrs, p.maxAddresses)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return os.ErrClosed
	}
	var (
		k    key
		v    uint32
		gone []key
	)
	it := p.addresses.Iterate()
	for it.Next(&k, &v) {
		if want[k] {
			delete(want, k)
		} else {
			gone = append(gone, k)
		}
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("redirect: list addresses: %w", err)
	}
	for _, k := range gone { // first, to make room
		if err := p.addresses.Delete(k); err != nil {
			return fmt.Errorf("redirect: remove address: %w", err)
		}
	}
	for k := range want {
		if err := p.addresses.Put(k, uint32(1)); err != nil {
			return fmt.Errorf("redirect: add address: %w", err)
		}
	}
	return nil
}

// Register gives the frames of a receive queue to an AF_XDP socket. It replaces the
// socket that the queue had. The socket must be bound to the same queue, else the
// kernel drops what is redirected. The descriptor stays the caller's; the kernel
// takes the socket out of the map when it is closed.
func (p *Program) Register(queue, fd int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return os.ErrClosed
	}
	if queue < 0 || queue >= int(p.sockets.MaxEntries()) {
		return fmt.Errorf("%w: %d, want 0 to %d", ErrQueue, queue, p.sockets.MaxEntries()-1)
	}
	if fd < 0 {
		return fmt.Errorf("redirect: register queue %d: descriptor %d", queue, fd)
	}
	if err := p.sockets.Put(uint32(queue), uint32(fd)); err != nil {
		return fmt.Errorf("redirect: register queue %d: %w", queue, err)
	}
	return nil
}

// Unregister lets the frames of a queue pass again. A queue without a socket is no
// error.
func (p *Program) Unregister(queue int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return os.ErrClosed
	}
	if queue < 0 || queue >= int(p.sockets.MaxEntries()) {
		return fmt.Errorf("%w: %d, want 0 to %d", ErrQueue, queue, p.sockets.MaxEntries()-1)
	}
	if err := p.sockets.Delete(uint32(queue)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("redirect: unregister queue %d: %w", queue, err)
	}
	return nil
}

// Counts returns how many frames had which verdict. Counters are read one after
// another while frames arrive.
func (p *Program) Counts() (c Counts, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return c, os.ErrClosed
	}
	var cpus []uint64
	for v := range c {
		if err := p.counts.Lookup(uint32(v), &cpus); err != nil {
			return Counts{}, fmt.Errorf("redirect: read counters: %w", err)
		}
		for _, n := range cpus {
			c[v] += n
		}
	}
	return c, nil
}

// Close detaches the program and frees it and its maps. Registered sockets stay
// open. Close may be called again; other methods return [os.ErrClosed] afterwards.
func (p *Program) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	err := p.detachLocked()
	for _, m := range []*ebpf.Map{p.port, p.addresses, p.sockets, p.counts} {
		err = errors.Join(err, m.Close()) // nil is fine
	}
	return errors.Join(err, p.prog.Close())
}
