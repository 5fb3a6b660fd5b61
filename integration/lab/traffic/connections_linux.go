// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package traffic

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"golang.org/x/sys/unix"
)

// exchangePatience is how long a connection with one byte each way may take.
const exchangePatience = 5 * time.Second

// answererName is the first argument of the process that [Answerer] starts.
const answererName = "tunrouter-lab-answerer"

// Main must be called right after [lab.Main] by every program that uses
// [Answerer]: in the process that it starts it never returns, elsewhere it does
// nothing.
func Main() {
	if len(os.Args) != 3 || os.Args[1] != answererName {
		return
	}
	l, err := net.Listen("tcp", os.Args[2])
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		go answer(c)
	}
}

// Answerer starts a process in the host that accepts TCP connections and sends
// every byte back. It is one of its own, so that its descriptors do not count with
// those of the other end. It ends with the test.
func Answerer(t lab.T, h *lab.Host, at netip.AddrPort) {
	t.Helper()
	p := h.Start(lab.Command{Path: "/proc/self/exe", Args: []string{answererName, at.String()}})
	lab.Wait(t, lab.Patience, "answerer", func() error {
		if out := h.Output("ss", "-Hltn", fmt.Sprintf("sport = %d", at.Port())); out == "" {
			return fmt.Errorf("not listening: %s", p.Output())
		}
		return nil
	})
}

// answer is io.Copy without its buffer of 32 KiB.
func answer(c net.Conn) {
	defer c.Close()
	var b [64]byte
	for {
		n, err := c.Read(b[:])
		if err != nil {
			return
		}
		if _, err := c.Write(b[:n]); err != nil {
			return
		}
	}
}

// connection is a TCP socket of this process, without the runtime's poller: the
// goroutine must have its thread for itself, in the namespace of a host.
type connection int

// exchange connects to an [Answerer] and has one byte sent back.
func exchange(to netip.AddrPort) (connection, error) {
	family := unix.AF_INET
	if to.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := connection(fd).exchange(to); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return connection(fd), nil
}

func (c connection) exchange(to netip.AddrPort) error {
	deadline := time.Now().Add(exchangePatience)
	if err := unix.Connect(int(c), sockaddr(to)); err != nil && err != unix.EINPROGRESS {
		return os.NewSyscallError("connect", err)
	}
	if err := c.wait(unix.POLLOUT, deadline); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	code, err := unix.GetsockoptInt(int(c), unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	if code != 0 {
		return os.NewSyscallError("connect", syscall.Errno(code))
	}
	b := [2]byte{7}
	if _, err := unix.Write(int(c), b[:1]); err != nil {
		return os.NewSyscallError("write", err)
	}
	if err := c.wait(unix.POLLIN, deadline); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	n, err := unix.Read(int(c), b[:])
	if err != nil {
		return os.NewSyscallError("read", err)
	}
	if n != 1 || b[0] != 7 {
		return fmt.Errorf("not the one byte came back, but %x", b[:n])
	}
	return nil
}

func (c connection) wait(events int16, deadline time.Time) error {
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return os.ErrDeadlineExceeded
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(c), Events: events}}, int(left/time.Millisecond)+1)
		if n > 0 {
			return nil
		}
		if err != nil && err != unix.EINTR {
			return os.NewSyscallError("poll", err)
		}
	}
}

func (c connection) close() { unix.Close(int(c)) }

// WaitExchange has one connection answered: the first may be lost with the
// handshake.
func WaitExchange(t lab.T, from *lab.Host, to netip.AddrPort) {
	t.Helper()
	lab.Wait(t, lab.Patience, fmt.Sprintf("a connection to %s", to), func() error {
		return from.Do(func() error {
			c, err := exchange(to)
			if err == nil {
				c.close()
			}
			return err
		})
	})
}

// Exchanges are many connections, one after the other and side by side.
type Exchanges struct {
	Done, Failed int64
	Took         time.Duration
	Err          error // of the last that failed
}

// Rate returns how many were done in a second.
func (e Exchanges) Rate() float64 { return float64(e.Done) / e.Took.Seconds() }

// ChurnWorkers is how many connections [Churn] makes side by side.
const ChurnWorkers = 32

// Churn connects to an [Answerer] for the time, has one byte sent back and
// closes, as fast as that goes; or, with a rate, so many times a second, each as
// soon as it is due and one of the workers is free.
func Churn(from *lab.Host, to netip.AddrPort, rate int, d time.Duration) (Exchanges, error) {
	start := time.Now()
	return exchanges(from, to, func(n int64) bool {
		if rate > 0 {
			due := time.Duration(n) * time.Second / time.Duration(rate)
			if due >= d {
				return false
			}
			sleepUntil(start.Add(due))
		}
		return time.Since(start) < d
	}, connection.close)
}

// exchanges makes connections for as long as more says so to the number of the
// next, and gives those that were answered to done.
func exchanges(from *lab.Host, to netip.AddrPort, more func(n int64) bool, done func(connection)) (Exchanges, error) {
	var e Exchanges
	var mu sync.Mutex // of e, and of done
	var next atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	var errs error
	for range ChurnWorkers {
		wg.Go(func() {
			err := from.Do(func() error {
				for more(next.Add(1) - 1) {
					c, err := exchange(to)
					mu.Lock()
					if err != nil {
						e.Failed, e.Err = e.Failed+1, err
					} else {
						e.Done++
						done(c)
					}
					mu.Unlock()
				}
				return nil
			})
			mu.Lock()
			errs = errors.Join(errs, err)
			mu.Unlock()
		})
	}
	wg.Wait()
	e.Took = time.Since(start)
	return e, errs
}

// HoldOpen makes so many connections to an [Answerer] and keeps them, idle, until
// release is called. It is an error when any is missing.
func HoldOpen(from *lab.Host, to netip.AddrPort, n int) (release func(), err error) {
	var all []connection
	e, err := exchanges(from, to, func(i int64) bool { return i < int64(n) }, func(c connection) { all = append(all, c) })
	release = func() {
		for _, c := range all {
			c.close()
		}
	}
	if err == nil && e.Done < int64(n) {
		err = fmt.Errorf("%d of %d connections: %w", e.Done, n, e.Err)
	}
	if err != nil {
		release()
		return nil, err
	}
	return release, nil
}
