// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap

import (
	"os"

	"github.com/tailscale/wireguard-go/tun"
	"golang.org/x/sys/unix"

	"github.com/tunrouter/tunrouter/internal/sys"
)

// openKernel makes the writers of a kernel device, if it has a virtio header, and sets
// what belongs to the interface.
func (d *Device) openKernel(queues []tun.Queue, o *Options) error {
	file := d.inner.File()
	if len(queues) > 1 {
		d.steer(file, o, sys.NewTUNSteering)
	}
	if d.batchSize == 1 {
		return nil // wireguard-go batches if and only if there is a virtio header
	}
	// As long as we and wireguard-go have it, whatever was set before on an
	// interface that was there.
	if err := control(file, func(fd int) error { return sys.SetTUNHeaderLen(fd, virtioHeaderLen) }); err != nil {
		return err
	}
	for _, q := range queues {
		w, err := newKernelWriter(q.File(), d.merging)
		if err != nil {
			return err
		}
		d.kernel = append(d.kernel, w)
	}
	if err := control(file, takesUDP); err != nil {
		d.merging.disable(kindUDP, err.Error())
		d.log.Info("udp packets are not merged in the tun device", "reason", err)
	}
	return nil
}

// takesUDP returns an error unless the kernel takes UDP superpackets, which it does
// since it gives them (6.2). The offloads are those that wireguard-go asks for.
func takesUDP(fd int) error {
	return sys.SetTUNOffload(fd, unix.TUN_F_CSUM|unix.TUN_F_TSO4|unix.TUN_F_TSO6|unix.TUN_F_USO4|unix.TUN_F_USO6)
}

// steer has all packets to one address read from one queue, by a program that make
// loads, and else leaves it to the kernel.
func (d *Device) steer(file *os.File, o *Options, make func() (fd int, err error)) {
	d.steering, d.unsteered = SteeringKernel, "switched off"
	if o.KernelSteering {
		return
	}
	prog, err := make()
	if err == nil {
		err = control(file, func(fd int) error { return sys.SetTUNSteering(fd, prog) })
		unix.Close(prog) // the interface keeps it
	}
	if err != nil {
		d.unsteered = err.Error()
		d.log.Info("the kernel chooses the tun queues of packets", "reason", err)
		return
	}
	d.steering, d.unsteered = SteeringDestination, ""
}
