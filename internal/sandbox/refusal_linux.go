// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package sandbox

import (
	"errors"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"
)

// instead is what always helps.
const instead = `or use the proxies of netstack mode, which need none of this ("[Router] Mode = netstack")`

// refusal is the error of a child that could not be started. sysctl is /proc/sys.
func refusal(err error, userNS bool, sysctl fs.FS) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err // that it is by starting the program itself says nothing
	}
	return &Error{Op: "make namespaces for the command", Err: err, Remedy: remedyFor(err, userNS, sysctl)}
}

// withRemedy adds to a refusal of something in the namespaces what helps, unless that
// is said already.
func withRemedy(err error, userNS bool, sysctl fs.FS) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = &Error{Op: "prepare the command", Err: err}
	}
	if e.Remedy == "" && (errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.ENOSPC)) {
		e.Remedy = remedyFor(err, userNS, sysctl)
	}
	return e
}

// remedyFor says which setting of the system is in the way.
func remedyFor(err error, userNS bool, sysctl fs.FS) string {
	is := func(name, value string) bool {
		b, err := fs.ReadFile(sysctl, name)
		return err == nil && strings.TrimSpace(string(b)) == value
	}
	for _, namespaces := range []string{"user", "net", "mnt"} {
		if name := "max_" + namespaces + "_namespaces"; is("user/"+name, "0") && (userNS || namespaces != "user") {
			return "namespaces are switched off: set sysctl user." + name + "=1000, " + instead
		}
	}
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EUSERS):
		return "there are as many namespaces, or as deep in each other, as the system allows: end some, or raise sysctl user.max_user_namespaces, user.max_net_namespaces and user.max_mnt_namespaces, " + instead
	case !userNS:
		return "the system does not let root do this; in a container, it takes CAP_SYS_ADMIN and CAP_NET_ADMIN, " + instead
	case is("kernel/unprivileged_userns_clone", "0"):
		return "user namespaces are for root only: set sysctl kernel.unprivileged_userns_clone=1, " + instead
	case is("kernel/apparmor_restrict_unprivileged_userns", "1"):
		return `AppArmor restricts user namespaces: give the program a profile with "userns,", or set sysctl kernel.apparmor_restrict_unprivileged_userns=0, ` + instead
	}
	return "the system refuses user namespaces or what is done in them; in a container, its seccomp or AppArmor profile is likely to (docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined), " + instead
}
