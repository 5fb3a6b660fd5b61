// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package xdp

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/tunrouter/tunrouter/batching/xdp/redirect"
	"golang.org/x/sys/unix"
)

// An Underlay is all queues of one network interface. It keeps itself going: it
// waits for the interface, and starts anew when that changes. All methods are safe
// for concurrent use.
type Underlay struct {
	opt   Options
	under *shared
	conns []*Conn
	mark  atomic.Uint32

	view    *kernelView
	events  *events
	netns   *os.File // nil: that of the process
	poke    chan struct{}
	done    chan struct{}
	running sync.WaitGroup
	closing sync.Once

	mu     sync.Mutex // guards the fields below
	site   *activation
	place  place
	reason string // why there is no site
	last   outcome
	counts redirect.Counts // of programs that are gone
	starts uint64
}

// An outcome is what the last attempt to attach told.
type outcome struct {
	attach   redirect.Mode
	refusals []string
}

// Open returns the underlay that the options describe, o may be nil, in the network
// namespace of the calling thread. It has tried once to become active when it
// returns; that it could not is no error: it goes on trying, and [Underlay.Status]
// says why. The errors are bad options, and EPERM when the process lacks the
// capabilities (CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF, or root) or
// [errors.ErrUnsupported] when the kernel lacks AF_XDP.
func Open(o *Options) (*Underlay, error) {
	opt, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := probe(); err != nil {
		return nil, err
	}
	u := &Underlay{opt: opt, under: newShared(), poke: make(chan struct{}, 1), done: make(chan struct{})}
	if u.netns, err = otherNamespace(); err != nil {
		return nil, err
	}
	if u.view, err = newKernelView(); err == nil {
		u.events, err = newEvents(u.wake)
	}
	if err != nil {
		u.release()
		return nil, err
	}
	for q := range u.queues() {
		u.conns = append(u.conns, newConn(q, u.under))
	}
	first := make(chan struct{})
	u.running.Go(func() { u.supervise(first) })
	<-first
	return u, nil
}

// probe asks for the privileges that everything else needs.
func probe() error {
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("xdp: the kernel has no AF_XDP sockets (CONFIG_XDP_SOCKETS): %w", errors.ErrUnsupported)
	case err != nil:
		return fmt.Errorf("xdp: AF_XDP socket, which needs CAP_NET_RAW: %w", err)
	}
	_ = unix.Close(fd)
	p, err := redirect.Load(nil)
	if err != nil {
		return fmt.Errorf("xdp: load a program, which needs CAP_BPF and CAP_NET_ADMIN: %w", err)
	}
	return p.Close()
}

// queues returns how many Conns there are to be.
func (u *Underlay) queues() int {
	if u.opt.Queues > 0 {
		return u.opt.Queues
	}
	if link, err := u.view.link(&u.opt, 0); err == nil {
		return u.view.maxQueues(link)
	}
	return defaultQueues
}

// defaultQueues is for an interface that is not there yet.
const defaultQueues = 4

// Conns returns the queues, at least one; always the same. The caller does not
// change the slice.
func (u *Underlay) Conns() []*Conn { return u.conns }

// Listen says which UDP port is received; 0 is none. It holds for the next frame
// on. It waits for nobody.
func (u *Underlay) Listen(port uint16) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.under.port.Store(uint32(port))
	if port != 0 {
		u.under.last.Store(uint32(port))
	}
	if u.site != nil {
		u.site.listen(port)
	}
}

// Beside says through which sockets of the kernel goes what cannot go past it.
// None means net.ErrClosed for that.
func (u *Underlay) Beside(v4, v6 []Kernel) {
	u.under.beside(v4, v6)
}

// SetMark tells the firewall mark of the kernel's sockets. Frames have none, but
// routes are asked for with it.
func (u *Underlay) SetMark(mark uint32) {
	u.mark.Store(mark)
	u.mu.Lock()
	if u.site != nil {
		u.site.routes.SetMark(mark)
	}
	u.mu.Unlock()
	u.wake()
}

// wake makes the supervisor look.
func (u *Underlay) wake() {
	select {
	case u.poke <- struct{}{}:
	default:
	}
}

// Close detaches the program, closes all sockets and makes the Conns return
// net.ErrClosed. Closing again does nothing.
func (u *Underlay) Close() error {
	u.closing.Do(func() {
		close(u.done)
		u.running.Wait()
		for _, c := range u.conns {
			_ = c.Close() // never fails
		}
		u.release()
	})
	return nil
}

func (u *Underlay) release() {
	if u.events != nil {
		u.events.close()
	}
	if u.view != nil {
		u.view.close()
	}
	if u.netns != nil {
		_ = u.netns.Close()
	}
}
