// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tunrouter/tunrouter/internal/hostnet"
)

const (
	resolvConf = "/etc/resolv.conf"
	// emptyFlags and emptyOptions are for a folder that never holds more than a file.
	emptyFlags   = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	emptyOptions = "mode=0755,size=256k"
)

// runFolders are where the system's programs have their sockets. The second is the
// first on most systems.
var runFolders = [...]string{"/run", "/var/run"}

// resolvers are the folders in them of programs that resolve names in the host's
// network, or that can be asked to; see the package comment.
var resolvers = [...]string{"systemd/resolve", "nscd", "avahi-daemon", "dbus"}

// stashes are folders over which one can be mounted for a moment: nobody else sees it.
var stashes = [...]string{"/tmp", "/run", "/var", "/usr"}

// setMounts makes the command see other name servers, and hides those of the host.
func (c *child) setMounts(n *Network, log *slog.Logger) error {
	// Nothing gets out, and nothing that the host mounts later gets in.
	if err := mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	target := follow(resolvConf)
	content, err := os.ReadFile(target)
	switch {
	case len(n.DNS) > 0:
		content = []byte(hostnet.ResolvConf(n.DNS, n.DNSSearch))
	default:
		log.Warn("the file has no DNS: /etc/resolv.conf stays, whose name servers the command may not reach through the tunnel")
		if err != nil {
			content = nil
		}
	}
	done := false
	for _, dir := range hiddenFolders() {
		name, inside := strings.CutPrefix(target, dir+"/")
		if !inside || content == nil {
			name = ""
		}
		if err := hide(dir, name, content); err != nil {
			return err
		}
		done = done || name != ""
	}
	if done || len(n.DNS) == 0 {
		return nil
	}
	err = cover(target, content)
	if errors.Is(err, fs.ErrNotExist) {
		// The C library then asks the command's own loopback, where nobody answers.
		log.Warn("names are not resolved: there is no file to put the name servers in its place", "create", target)
		return nil
	}
	return err
}

// hiddenFolders returns those of the resolvers' folders that exist and can be entered,
// by their real names, each once.
func hiddenFolders() []string {
	var out []string
	for _, run := range runFolders {
		for _, name := range resolvers {
			dir, err := filepath.EvalSymlinks(filepath.Join(run, name))
			if err != nil || slices.Contains(out, dir) {
				continue
			}
			if info, err := os.Stat(dir); err == nil && info.IsDir() {
				out = append(out, dir)
			}
		}
	}
	return out
}

// hide puts an empty folder over dir, or one that has nothing but one file.
func hide(dir, name string, content []byte) error {
	if err := mount("tmpfs", dir, "tmpfs", emptyFlags, emptyOptions); err != nil {
		return err
	}
	if name != "" {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := write(path, content); err != nil {
			return err
		}
	}
	return mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY|emptyFlags, emptyOptions)
}

// cover puts a file with the content over the file at path, which must exist.
func cover(path string, content []byte) error {
	// By descriptor: the stash may be over the path.
	target, err := os.OpenFile(path, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer target.Close()
	for _, stash := range stashes {
		if err = mount("tmpfs", stash, "tmpfs", emptyFlags, emptyOptions); err == nil {
			err = coverFrom(stash, target, content)
			// The file stays, being mounted elsewhere.
			return errors.Join(err, os.NewSyscallError("umount", unix.Unmount(stash, unix.MNT_DETACH)))
		}
	}
	return err
}

func coverFrom(stash string, target *os.File, content []byte) error {
	file := filepath.Join(stash, filepath.Base(resolvConf))
	if err := write(file, content); err != nil {
		return err
	}
	return mount(file, descriptorPath(int(target.Fd())), "", unix.MS_BIND, "")
}

// write makes a file that everybody may read, whatever the user's mask is.
func write(path string, content []byte) error {
	if err := os.WriteFile(path, content, 0o644); err != nil {
		return err
	}
	return os.Chmod(path, 0o644)
}

func mount(source, target, kind string, flags uintptr, options string) error {
	if err := unix.Mount(source, target, kind, flags, options); err != nil {
		return &Error{Op: "mount " + target, Err: err}
	}
	return nil
}

// descriptorPath is a path to what a descriptor of this process is of.
func descriptorPath(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

// maxLinks is how many symbolic links a path may lead through: MAXSYMLINKS,
// include/linux/namei.h.
const maxLinks = 40

// follow returns what the symbolic link at path leads to in the end, by its real
// name, whether it exists or not.
func follow(path string) string {
	for range maxLinks {
		if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
			path = filepath.Join(dir, filepath.Base(path))
		}
		link, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(link) {
			link = filepath.Join(filepath.Dir(path), link)
		}
		path = link
	}
	return path
}
