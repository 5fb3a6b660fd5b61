// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// OpenQueues calls openQueues for defaults filled in.
func OpenQueues(name string, o *Options, open func(string, uint16) (int, error)) ([]*os.File, error) {
	opts := o.withDefaults()
	return openQueues(name, &opts, open)
}

// Script has d write to a kernel of the test instead of the wrapped device. write gets
// what would be written with one system call: virtio header and packet; both are its
// own only for the call. After EAGAIN it is called again.
func Script(d *Device, write func(frame []byte) unix.Errno) {
	for range d.queues {
		frame := make([]byte, 0, 1<<17)
		d.kernel = append(d.kernel, makeKernelWriter(scripted{d}, func(_ int, iovs []unix.Iovec) (int, unix.Errno) {
			frame = frame[:0]
			for _, v := range iovs {
				frame = append(frame, iovBytes(&v)...)
			}
			return len(frame), write(frame)
		}, d.merging))
	}
}

// scripted is the descriptor of such a kernel.
type scripted struct{ d *Device }

func (s scripted) Control(f func(fd uintptr)) error {
	if s.d.closed.Load() {
		return os.ErrClosed
	}
	f(0)
	return nil
}

func (s scripted) Write(f func(fd uintptr) bool) error {
	for !f(0) {
		if s.d.closed.Load() {
			return os.ErrClosed
		}
	}
	return nil
}

func (scripted) Read(func(fd uintptr) bool) error { return errors.ErrUnsupported }

// Steer steers with a program of the test.
func Steer(d *Device, o *Options, program func() (int, error)) {
	d.steer(d.File(), o, program)
}
