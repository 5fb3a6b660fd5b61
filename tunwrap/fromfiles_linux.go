// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap

import (
	"errors"
	"fmt"
	"os"

	"github.com/tailscale/wireguard-go/tun"
	"golang.org/x/sys/unix"

	"github.com/tunrouter/tunrouter/internal/sys"
)

const remedyDescriptor = `pass a descriptor of /dev/net/tun that is attached with IFF_TUN and IFF_NO_PI`

// FromFiles returns a Device for TUN descriptors that somebody else opened and
// attached, all to one interface, one for each queue; they need not be
// non-blocking. It takes ownership of files: they are closed in any case, the
// Device has copies. Errors are a [*CreateError].
//
// An interface that this program may not configure, or that is in another
// network namespace, is not monitored: its only event is one [tun.EventUp] at
// the start. Its MTU is set if possible and left as it is if not. See also
// [Options.Elsewhere].
func FromFiles(files []*os.File, o *Options) (*Device, error) {
	opts := o.withDefaults()
	opts.Queues = max(len(files), 1)
	dev, initial, err := fromFiles(files, &opts)
	var d *Device
	if err == nil {
		if !opts.Elsewhere {
			setTxQueueLen(dev.File(), &opts)
		}
		d, err = wrap(dev, opts, 0, initial)
	}
	if err != nil {
		var ce *CreateError
		if !errors.As(err, &ce) {
			err = &CreateError{Err: err, Remedy: remedyDescriptor}
		}
		return nil, err
	}
	return d, nil
}

// fromFiles also returns the event that the device will not send itself.
func fromFiles(files []*os.File, o *Options) (dev tun.Device, initial tun.Event, err error) {
	fds, err := takeOver(files)
	here := true
	for _, fd := range fds {
		if err == nil {
			var h bool
			h, err = inspect(fd)
			here = here && h && !o.Elsewhere
		}
	}
	if err == nil {
		err = checkOptions("", o)
	}
	if err != nil {
		for _, fd := range fds {
			unix.Close(fd)
		}
		return nil, 0, err
	}
	if o.Elsewhere {
		dev, _, err = tun.CreateUnmonitoredTUNFromFDs(fds) // closes them on an error
		return dev, 0, err
	}
	err = sys.SetTUNMTU(fds[0], o.MTU)
	if here && err == nil {
		var own []*os.File
		for _, fd := range fds {
			own = append(own, tunFile(fd))
		}
		dev, err = tun.CreateTUNFromFiles(own, o.MTU) // closes them on an error
		return dev, 0, err
	}
	if err != nil {
		o.Logger.Warn("mtu of the passed tun device is left as it is", "requested", o.MTU, "err", err)
	}
	dev, _, err = tun.CreateUnmonitoredTUNFromFDs(fds) // closes them on an error
	return dev, tun.EventUp, err
}

// takeOver returns non-blocking copies of files and closes these. Copies that
// come with an error are the caller's too.
func takeOver(files []*os.File) (fds []int, err error) {
	if len(files) == 0 {
		return nil, errors.New("no descriptor")
	}
	seen := make(map[int]bool)
	for _, f := range files {
		err = errors.Join(err, control(f, func(fd int) error {
			if seen[fd] {
				return fmt.Errorf("descriptor %d is there twice", fd)
			}
			seen[fd] = true
			dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				return os.NewSyscallError("fcntl", err)
			}
			fds = append(fds, dup)
			return os.NewSyscallError("fcntl", unix.SetNonblock(dup, true))
		}))
	}
	for _, f := range files {
		f.Close()
	}
	return fds, err
}

// inspect returns an error unless fd is a TUN of the right kind, and whether it
// is in this network namespace or the kernel will not say.
func inspect(fd int) (here bool, err error) {
	_, flags, err := sys.TUNInfo(fd)
	if err != nil {
		return false, err
	}
	// Whether packet information precedes the packets cannot be told: the kernel
	// reports IFF_NOFILTER in the bit of IFF_NO_PI.
	if flags&(unix.IFF_TUN|unix.IFF_TAP) != unix.IFF_TUN {
		return false, fmt.Errorf("descriptor is of a TAP interface, flags %#x", flags)
	}
	here, err = sys.TUNInThisNetNS(fd)
	return here || err != nil, nil
}
