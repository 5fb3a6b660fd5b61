// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package xsk is an AF_XDP socket: packet memory shared with the kernel (UMEM),
// the four rings that hand frames over, and a batch reader and writer of Ethernet
// frames on top of them.
//
//	s, err := xsk.Open(ifindex, &xsk.Options{Queue: 0})
//	n, err := s.BatchRead(frames)        // waits; frames are borrowed
//	err = s.Release(frames[:n])          // and given back
//	n, err = s.BatchWrite(bufs, 0)       // copies and sends
//
// A socket receives nothing until an XDP program on the interface redirects
// packets of its queue to it: the descriptor [Socket.FD] goes into the program's
// XSKMAP at the index of the queue.
//
// # Words
//
// A frame is one chunk of the UMEM, [Options].FrameSize bytes, and what it holds: an
// Ethernet frame. It is in one of three places: with the kernel (in a ring, or on
// its way through a device), borrowed by the caller, or, for frames to send only,
// free. Frames to receive into and frames to send from are two pools that never
// mix: received frames cannot be sent. A descriptor is a frame's entry in a ring.
//
// # Receiving
//
// All frames of the receiving pool are with the kernel from the start, before the
// socket is bound, and go back with [Socket.Release]. The fill and the receive
// ring are as large as the pool, so neither is ever full; what comes while the
// caller has borrowed every frame is dropped by the kernel. A packet longer than
// [Socket.MaxReceive], 256 bytes less than a frame, is dropped by the kernel as
// well: packets do not span frames. [Stats.Dropped] counts both, each packet once,
// [Stats].RxTooLong the latter.
//
// # Sending
//
// [Socket.Alloc] borrows free frames, the caller writes into them, and
// [Socket.Transmit] hands them to the kernel and wakes it if it asks to be woken
// (XDP_USE_NEED_WAKEUP, always on). [Socket.BatchWrite] does it all with a copy.
// Neither waits: both count what the kernel took over. A frame is free again when
// the kernel says that it has been sent; [Socket.WaitWrite] waits for one.
//
// # Waiting
//
// The descriptor is in Go's poller: who waits holds no thread, deadlines work as
// with a net.Conn, and Close ends every wait. [Socket.Poll] waits for both directions
// at once, with a timeout of its own. The kernel tells nobody who waits
// that the interface went down or was deleted (xsk_poll in net/xdp/xsk.c reports
// nothing then, Linux 6.18). It is noticed when a wait begins, though a wait looks every
// 100 ms at most. Whoever waits without a deadline should watch the link, too.
//
// # Memory
//
// A Frame's Data is memory of the UMEM, valid until the frame is released, freed or
// transmitted. Each borrowing has a number that is part of the Frame, so that a
// frame given back twice, one of another socket and one that was not borrowed are
// errors ([ErrFrame]) and change nothing. Close unmaps the UMEM when the last borrowed
// frame has come back, not before: Data is never memory that is gone. The UMEM is
// outside the Go heap, (RxFrames+TxFrames) times FrameSize bytes: 8 MiB by default,
// pinned in memory. The steady state allocates nothing.
//
// # Sharing memory
//
// Each socket has a UMEM of its own, unless several queues of an interface share a
// [Memory], which is mapped, pinned and, in zero-copy mode, mapped for the device
// once. Frames are not shared: each queue has its part, whatever is written in the
// Memory section holds for that. Sockets come and go in any order; the first that is
// opened while no other is open registers the memory, and as soon as others have
// joined it is like any of them. A queue is opened again when the frames that were
// borrowed from its last socket are back.
//
//	m, err := xsk.NewMemory(&xsk.MemoryOptions{Queues: 4})
//	defer m.Close() // lives on while sockets and borrowed frames need it
//	for q := range 4 {
//		s[q], err = xsk.Open(ifindex, &xsk.Options{Queue: q, Memory: m})
//	}
//
// When the interface was deleted, all its sockets are to be closed; the next one
// needs a new Memory. In the kernel each socket then has bookkeeping for the frames
// of all queues. Linux 5.10 or newer; before, the second Open fails with an error that
// is [errors.ErrUnsupported]. A driver that refuses zero-copy for one of the queues
// refuses it with EOPNOTSUPP or EINVAL. In each case memory of its own is left.
//
// # Concurrency
//
// Everything is safe for concurrent use. Receiving and sending share no lock;
// each direction has one mutex, which nobody holds while waiting. There are no
// goroutines.
//
// # Platforms
//
// Linux 5.4 or newer, with CAP_NET_RAW, and CAP_IPC_LOCK or enough RLIMIT_MEMLOCK for
// all memory (xdp_umem_account_pages in net/xdp/xdp_umem.c).
// Elsewhere Open fails with an error that is [errors.ErrUnsupported].
package xsk
