// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package traffic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"golang.org/x/sys/unix"
)

// A Latency is the distribution of round trip times.
type Latency struct {
	P50, P99 time.Duration
	Samples  int
	Lost     int
}

// RoundTrips sends one small UDP request after another for d, pausing between
// them so that the path is idle, and measures the time until each is answered.
func RoundTrips(from, to *lab.Host, src, dst netip.Addr, pause, d time.Duration) (Latency, error) {
	const size, patience = 64, time.Second
	a, b, err := socketPair(from, to, src, dst)
	if err != nil {
		return Latency{}, err
	}
	defer unix.Close(a)
	defer unix.Close(b)
	timeout := unix.NsecToTimeval(int64(patience))
	for _, fd := range []int{a, b} {
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
			return Latency{}, err
		}
	}

	var l Latency
	var times []time.Duration
	var clientErr, serverErr error
	deadline := time.Now().Add(d)
	server := onThread(func() { serverErr = echo(b, deadline.Add(patience)) })
	client := onThread(func() {
		buf := make([]byte, size)
		for seq := uint64(1); time.Now().Before(deadline); seq++ {
			binary.BigEndian.PutUint64(buf, seq)
			start := time.Now()
			if _, err := unix.Write(a, buf); err != nil {
				clientErr = fmt.Errorf("request: %w", err)
				return
			}
			switch err := awaitAnswer(a, buf, seq); {
			case err == unix.EAGAIN:
				l.Lost++
			case err != nil:
				clientErr = fmt.Errorf("answer: %w", err)
				return
			default:
				times = append(times, time.Since(start))
			}
			sleepUntil(time.Now().Add(pause))
		}
	})
	client()
	unix.Shutdown(b, unix.SHUT_RD) // ends the server
	server()
	if err := errors.Join(clientErr, serverErr); err != nil {
		return l, err
	}
	if len(times) == 0 {
		return l, errors.New("no request was answered")
	}
	slices.Sort(times)
	l.Samples = len(times)
	l.P50, l.P99 = times[len(times)/2], times[len(times)*99/100]
	return l, nil
}

func awaitAnswer(fd int, buf []byte, seq uint64) error {
	for {
		n, err := unix.Read(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if n == len(buf) && binary.BigEndian.Uint64(buf) == seq {
			return nil
		}
	}
}

// echo answers every packet until the socket is shut down or the time has come.
func echo(fd int, until time.Time) error {
	buf := make([]byte, 2048)
	for {
		n, err := unix.Read(fd, buf)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			if time.Now().After(until) {
				return nil
			}
			continue
		case err != nil:
			return fmt.Errorf("echo: %w", err)
		case n == 0:
			return nil
		}
		if _, err := unix.Write(fd, buf[:n]); err != nil {
			return fmt.Errorf("echo: %w", err)
		}
	}
}
