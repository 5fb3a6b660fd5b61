// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package peers

// An underlay carries datagrams of the Bind's port past the kernel's sockets;
// [xdpUnderlay] is one. None of its methods waits for one of the Bind.
type underlay interface {
	// Members returns its queues, the same ones each time. They have the contract
	// of a socket of both families, hold nothing back, and may wait for datagrams
	// that never come. They are not closed by the Bind, and nothing closes one that
	// is read again.
	Members() []socket
	// Listen says which port's datagrams it takes; 0: none, from now on.
	Listen(port uint16)
	// Beside says which sockets it passes on to what it cannot send.
	Beside(v4, v6 []socket)
	// SetMark says with which firewall mark those send.
	SetMark(mark uint32)
}

// setUnderlay makes u the underlay, nil none; see [Bind.SetUnderlay].
func (b *Bind) setUnderlay(u underlay) (reopen bool, err error) {
	b.life.Lock()
	defer b.life.Unlock()
	g, before := b.open, b.past
	if !before.is(u) {
		err = b.replaceLocked(before, newBypass(u))
	}
	if g == nil {
		return false, nil
	}
	b.publishLocked()
	if g.parked != nil {
		return false, err // the next Open, which is under way, does the rest
	}
	g.promised = g.promised || !before.is(u) && len(b.past.members()) > 0
	return g.promised, err
}

// replaceLocked puts next in the place of the underlay before; either may be nil.
// Packets are sent through it at once, and received after the next Open, by the
// kernel's sockets until then.
func (b *Bind) replaceLocked(before, next *bypass) (err error) {
	b.ledger.joined(next.members())
	b.past = next
	if b.open != nil {
		next.setMark(b.mark)
		err = b.rearrangeLocked(true, func() error { return nil })
	}
	if before == nil {
		return err
	}
	before.end()
	b.settle()
	before.beside(nil, nil)
	for _, s := range before.members() {
		b.ledger.closing(s)
	}
	b.log.Debug("underlay removed", "queues", len(before.members()))
	return err
}
