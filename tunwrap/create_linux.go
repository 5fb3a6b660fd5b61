// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"

	"github.com/tailscale/wireguard-go/tun"
	"golang.org/x/sys/unix"

	"github.com/tunrouter/tunrouter/internal/sys"
)

const (
	remedyCapability = `this needs the capability CAP_NET_ADMIN: run as root, or "setcap cap_net_admin+ep" the program; "[Router] Mode = netstack" needs none`
	remedyNode       = `load the kernel module with "modprobe tun", in a container pass the device with "--device /dev/net/tun"; "[Router] Mode = netstack" needs none`
	remedyAccess     = `the program may not open it; a TUN needs the capability CAP_NET_ADMIN (run as root), in a container also "--device /dev/net/tun"; "[Router] Mode = netstack" needs neither`
	remedyFiles      = `raise the limit on open files (ulimit -n)`
	remedyKernel     = `the kernel refused it; "[Router] Mode = netstack" does without`
)

// Create makes the TUN interface name, which may hold one %d for the kernel to
// number, and returns the Device. Errors are a [*CreateError]; nothing is left
// behind then. If the kernel gives fewer queues than [Options] ask for, the
// Device has those; see [Stats].
//
// It opens the queues itself and hands them to [tun.CreateTUNFromFiles], as
// [tun.CreateTUN] does, because that one would join the queues of another
// program's interface of the same name when more than one queue is asked for,
// and gives none if it does not get all.
func Create(name string, o *Options) (*Device, error) {
	opts := o.withDefaults()
	if opts.TxQueueLen == 0 {
		opts.TxQueueLen = DefaultTxQueueLen
	}
	files, err := create(name, &opts)
	if err != nil {
		return nil, err
	}
	dev, err := tun.CreateTUNFromFiles(files, opts.MTU) // closes files on an error
	if err != nil {
		return nil, createError(name, err)
	}
	setTxQueueLen(dev.File(), &opts)
	d, err := wrap(dev, opts, opts.Queues, 0)
	if err != nil {
		return nil, createError(name, err)
	}
	return d, nil
}

// CreateFiles makes the TUN interface name as [Create] does and returns its queues
// for another process, which makes a Device of them with [FromFiles]. It sets neither
// the MTU nor the length of the queues. The interface is gone when all files, and what
// was made of them, are closed.
func CreateFiles(name string, o *Options) ([]*os.File, error) {
	opts := o.withDefaults()
	return create(name, &opts)
}

func create(name string, o *Options) ([]*os.File, error) {
	if err := checkCreate(name, o); err != nil {
		return nil, err
	}
	files, err := openQueues(name, o, sys.OpenTUN)
	if err != nil {
		return nil, createError(name, err)
	}
	return files, nil
}

// setTxQueueLen sets the length of the kernel's queues if that is asked for. Without
// the privilege the device works with what it has.
func setTxQueueLen(file *os.File, o *Options) {
	if o.TxQueueLen <= 0 {
		return
	}
	if err := control(file, func(fd int) error { return sys.SetTUNTxQueueLen(fd, o.TxQueueLen) }); err != nil {
		o.Logger.Warn("length of the tun queues is left as it is", "requested", o.TxQueueLen, "err", err)
	}
}

// An opener is [sys.OpenTUN].
type opener func(name string, flags uint16) (fd int, err error)

// openQueues returns one file for each queue that the kernel gives, at least one.
func openQueues(name string, o *Options, open opener) ([]*os.File, error) {
	const flags = unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR
	if o.Queues > 1 {
		// Exclusive: an interface that exists may have another reader.
		files, err := openGroup(name, flags|unix.IFF_MULTI_QUEUE, o, open)
		if !errors.Is(err, unix.EINVAL) || exists(name) {
			return files, err
		}
		o.Logger.Warn("kernel has no multi-queue tun devices", "requested", o.Queues, "queues", 1, "err", err)
	}
	// Not exclusive: a persistent interface that was made beforehand is fine, and
	// one that is in use the kernel refuses.
	fd, err := open(name, flags)
	if err != nil {
		return nil, err
	}
	return []*os.File{tunFile(fd)}, nil
}

// openGroup creates the interface and attaches up to o.Queues queues to it.
func openGroup(name string, flags uint16, o *Options, open opener) ([]*os.File, error) {
	fd, err := open(name, flags|unix.IFF_TUN_EXCL)
	if err != nil {
		return nil, err
	}
	files := []*os.File{tunFile(fd)}
	name, _, err = sys.TUNInfo(fd) // the %d is resolved now
	if err != nil {
		return nil, errors.Join(err, files[0].Close())
	}
	for len(files) < o.Queues {
		fd, err := open(name, flags)
		if err != nil {
			o.Logger.Warn("fewer tun queues than requested", "requested", o.Queues, "queues", len(files), "err", err)
			break
		}
		files = append(files, tunFile(fd))
	}
	return files, nil
}

func tunFile(fd int) *os.File { return os.NewFile(uintptr(fd), "/dev/net/tun") }

func exists(name string) bool {
	_, err := net.InterfaceByName(name)
	return err == nil
}

// createError adds the remedy to an error of openQueues or CreateTUNFromFiles.
func createError(name string, err error) error {
	e := &CreateError{Name: name, Err: err, Remedy: remedyKernel}
	var open *fs.PathError
	switch opening := errors.As(err, &open); {
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		e.Remedy = remedyFiles
	case opening && (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO)):
		e.Remedy = remedyNode
	case opening && errors.Is(err, fs.ErrPermission):
		e.Remedy = remedyAccess
	case errors.Is(err, fs.ErrPermission):
		e.Remedy = remedyCapability
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EINVAL) && exists(name):
		e.Remedy = fmt.Sprintf(remedyBusy, name)
	}
	return e
}
