// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// A tty is where somebody types and looks.
type tty struct {
	in, out *os.File
	before  *unix.Termios // set between raw and restore
}

// openTTY returns the terminal that in and out are; nil if one of them is none.
func openTTY(in io.Reader, out io.Writer) *tty {
	i, inOK := in.(*os.File)
	o, outOK := out.(*os.File)
	if !inOK || !outOK {
		return nil
	}
	t := &tty{in: i, out: o}
	for _, f := range []*os.File{i, o} {
		if _, err := termiosOf(f); err != nil {
			return nil
		}
	}
	return t
}

// withFD calls f with the descriptor of file. Unlike Fd it leaves the mode of the
// descriptor as it is.
func withFD(file *os.File, f func(fd int) error) error {
	c, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := c.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

func termiosOf(file *os.File) (mode *unix.Termios, err error) {
	err = withFD(file, func(fd int) error {
		mode, err = unix.IoctlGetTermios(fd, unix.TCGETS)
		return err
	})
	return mode, err
}

func setTermios(file *os.File, mode *unix.Termios) error {
	return withFD(file, func(fd int) error { return unix.IoctlSetTermios(fd, unix.TCSETS, mode) })
}

// raw makes keys readable at once, unseen and without an effect of their own; ^C too, as
// the terminal has to be restored before the program ends. Before restore it may be called
// again, when the mode has been changed by somebody else.
func (t *tty) raw() error {
	mode, err := termiosOf(t.in)
	if err != nil {
		return fmt.Errorf("ask the terminal for its mode: %w", err)
	}
	if t.before == nil {
		before := *mode
		t.before = &before
	}
	*mode = *t.before
	mode.Lflag &^= unix.ICANON | unix.ECHO | unix.ISIG | unix.IEXTEN
	mode.Iflag &^= unix.IXON | unix.ICRNL
	mode.Cc[unix.VMIN], mode.Cc[unix.VTIME] = 1, 0
	if err := setTermios(t.in, mode); err != nil {
		return fmt.Errorf("change the mode of the terminal: %w", err)
	}
	return nil
}

// restore takes raw back.
func (t *tty) restore() error {
	if t.before == nil {
		return nil
	}
	mode := t.before
	t.before = nil
	if err := setTermios(t.in, mode); err != nil {
		return fmt.Errorf("restore the mode of the terminal: %w", err)
	}
	return nil
}

// size returns how many columns and lines there are, 80 and 24 if it does not say.
func (t *tty) size() (width, height int) {
	var ws *unix.Winsize
	err := withFD(t.out, func(fd int) (err error) {
		ws, err = unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
		return err
	})
	if err != nil || ws.Col == 0 || ws.Row == 0 {
		return 80, 24
	}
	return int(ws.Col), int(ws.Row)
}

// notifyResized makes c get a signal when the size changes.
func notifyResized(c chan<- os.Signal) { signal.Notify(c, syscall.SIGWINCH) }
