// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package sandbox

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tunrouter/tunrouter/tunwrap"
)

// A Sandbox is a child, which is or becomes the command.
type Sandbox struct {
	// Immutable after Start.
	log     *slog.Logger
	conn    *net.UnixConn
	process *os.Process
	network Network
	queues  []*os.File // until Device took them

	status int           // valid when ended is closed
	ended  chan struct{} // the child has ended
	wg     sync.WaitGroup
}

// Start makes the namespaces and all that is in them, with a child that waits for
// [Sandbox.Exec]. The caller must call [Sandbox.Wait] or [Sandbox.Close] in the end.
// The error is an [*Error], or a [*StatusError] if a signal has ended the child.
func Start(o *Options) (*Sandbox, error) {
	s := &Sandbox{log: o.Logger, network: o.Network, ended: make(chan struct{})}
	s.network.MTU = mtu(o)
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	userNS := !privileged()
	if err := s.launch(o, userNS); err != nil {
		return nil, refusal(err, userNS, os.DirFS("/proc/sys"))
	}
	s.wg.Go(func() { s.passOn(o.Signals) })
	if err := s.prepare(&setup{Parent: os.Getpid(), UserNS: userNS, Network: s.network}); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// launch starts the child.
func (s *Sandbox) launch(o *Options, userNS bool) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "child"), os.NewFile(uintptr(pair[1]), "parent")
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		return err
	}
	s.conn = conn.(*net.UnixConn)
	path, copied, err := program()
	if err == nil {
		err = s.launchProgram(path, theirs, o, userNS)
	}
	if copied != nil {
		copied.Close()
	}
	if err != nil {
		s.conn.Close()
	}
	return err
}

// launchProgram starts the program. Descriptors that the user has opened for the
// command keep their numbers, so the child gets its socket under the one it has here.
func (s *Sandbox) launchProgram(path string, socket *os.File, o *Options, userNS bool) error {
	fd := socket.Fd()
	if _, err := unix.FcntlInt(fd, unix.F_SETFD, 0); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	args := append([]string{o.Program, childArgument, strconv.Itoa(int(fd))}, o.Command...)
	attr := &os.ProcAttr{Files: o.Files[:], Sys: processAttributes(userNS)}
	started := make(chan error)
	s.wg.Go(func() {
		// The signal at the parent's death is at that of the thread.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		process, err := os.StartProcess(path, args, attr)
		s.process = process
		started <- err
		if err == nil {
			s.wait()
		}
	})
	return <-started
}

// wait waits for the end of the child.
func (s *Sandbox) wait() {
	defer close(s.ended)
	state, err := s.process.Wait()
	s.status = exitFailure
	if err != nil {
		s.log.Error("the end of the command is not known", "err", err)
		return
	}
	ws := state.Sys().(syscall.WaitStatus)
	s.status = ws.ExitStatus()
	if ws.Signaled() {
		s.status = 128 + int(ws.Signal())
	}
}

// passOn passes signals on until the child ends.
func (s *Sandbox) passOn(signals <-chan os.Signal) {
	for {
		select {
		case <-s.ended:
			return
		case sig := <-signals:
			if err := s.process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
				s.log.Error("signal not passed on", "signal", sig.String(), "err", err)
			}
		}
	}
}

// prepare has the child make everything.
func (s *Sandbox) prepare(m *setup) error {
	if err := send(s.conn, m, nil); err != nil {
		return s.lost(err)
	}
	a, queues, err := receive(s.conn)
	if err != nil {
		return s.lost(err)
	}
	s.queues = queues
	for _, w := range a.Warnings {
		s.log.Warn("in the namespace of the command", "problem", w)
	}
	if a.Op != "" {
		return &Error{Op: a.Op, Err: errors.New(a.Err), Remedy: a.Remedy}
	}
	if len(queues) == 0 {
		return s.lost(errors.New("no queues"))
	}
	return nil
}

// lost is the error when the child does not answer.
func (s *Sandbox) lost(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
		<-s.ended
		if s.status > 128 {
			return &StatusError{s.status}
		}
		err = fmt.Errorf("it ended, with status %d", s.status)
	}
	return &Error{Op: "prepare the command's process", Err: err}
}

// Device returns the TUN, which belongs to the caller then. It is called once.
func (s *Sandbox) Device() (*tunwrap.Device, error) {
	queues := s.queues
	s.queues = nil
	return tunwrap.FromFiles(queues, &tunwrap.Options{Logger: s.log, MTU: s.network.MTU, Elsewhere: true})
}

// Exec has the child become the command. If it cannot, it says why on standard error,
// and its exit status is 127 if there is no such command, else 126.
func (s *Sandbox) Exec() error {
	defer s.conn.Close()
	if err := send(s.conn, start{Start: true}, nil); err != nil {
		return s.lost(err)
	}
	return nil
}

// Done returns a channel that is closed when the child has ended.
func (s *Sandbox) Done() <-chan struct{} { return s.ended }

// Signal sends a signal to the child.
func (s *Sandbox) Signal(sig os.Signal) error { return s.process.Signal(sig) }

// Wait waits until the child and the goroutines of the Sandbox have ended. The error
// is nil for exit status 0 and otherwise a [*StatusError].
func (s *Sandbox) Wait() error {
	s.wg.Wait()
	closeAll(s.queues)
	s.queues = nil
	s.conn.Close()
	if s.status != 0 {
		return &StatusError{s.status}
	}
	return nil
}

// Close kills the child if it has not ended and waits as Wait does.
func (s *Sandbox) Close() {
	_ = s.process.Kill() // ended already
	_ = s.Wait()         // which is how it has to be
}
