// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// demoMTU is that of a tunnel over Ethernet.
const demoMTU = 1420

const greeting = "hello through the tunnel"

// demoTick is how often the progress of the measurement is shown.
const demoTick = 100 * time.Millisecond

// handshake sends the first packet, which waits until there is a session.
func (d *demonstration) handshake(ctx context.Context, _ *progress) (string, error) {
	start := time.Now()
	if _, err := d.b.Net().Ping(ctx, d.a.inner); err != nil {
		return "", err
	}
	took := time.Since(start)
	st, err := d.b.Status()
	if err != nil {
		return "", err
	}
	if len(st.Peers) != 1 || st.Peers[0].LastHandshake.IsZero() {
		return "", errors.New("a packet came through, but there was no handshake")
	}
	return fmt.Sprintf("B with A, first packet through after %s", milliseconds(took)), nil
}

func (d *demonstration) ping(ctx context.Context, _ *progress) (string, error) {
	const count = 10
	best, sum := time.Duration(0), time.Duration(0)
	for range count {
		rtt, err := d.a.Net().Ping(ctx, d.b.inner)
		if err != nil {
			return "", err
		}
		if best == 0 || rtt < best {
			best = rtt
		}
		sum += rtt
	}
	return fmt.Sprintf("%d of %d from A to %s, %s best, %s on average", count, count, d.b.inner, milliseconds(best), milliseconds(sum/count)), nil
}

// get serves HTTP on A and asks from B.
func (d *demonstration) get(ctx context.Context, _ *progress) (string, error) {
	l, err := d.a.Net().Listen("tcp", net.JoinHostPort(d.a.inner.String(), "80"))
	if err != nil {
		return "", err
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, greeting) })}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	defer func() {
		srv.Close()
		<-served
	}()
	transport := &http.Transport{DialContext: d.b.Net().DialContext}
	defer transport.CloseIdleConnections()
	url := "http://" + d.a.inner.String() + "/"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK || string(body) != greeting {
		return "", fmt.Errorf("GET %s: %s, %q", url, resp.Status, body)
	}
	return fmt.Sprintf("GET %s from B: %s, %q", url, resp.Status, body), nil
}

// throughput sends from B to A for so long and counts what arrives.
func (d *demonstration) throughput(ctx context.Context, p *progress, duration time.Duration) (string, error) {
	l, err := d.a.Net().Listen("tcp", net.JoinHostPort(d.a.inner.String(), "5001"))
	if err != nil {
		return "", err
	}
	defer l.Close()
	var received atomic.Int64
	done := make(chan error, 1)
	go func() { done <- receive(l, &received) }()

	conn, err := d.b.Net().DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		l.Close()
		return "", errors.Join(err, <-done)
	}
	// The receiver ends with the connection, on every way out.
	start := time.Now()
	sendErr := send(ctx, conn, duration, func() {
		elapsed := time.Since(start)
		p.show(fmt.Sprintf("%s %s", bar(elapsed, duration), rate(received.Load(), elapsed)))
	})
	closeErr := conn.Close()
	if err := errors.Join(sendErr, closeErr, <-done); err != nil {
		return "", err
	}
	elapsed := time.Since(start)
	return fmt.Sprintf("%s from B to A, %s in %.1f s", rate(received.Load(), elapsed), size(uint64(received.Load())), elapsed.Seconds()), nil
}

// receive counts the bytes of one connection until its end.
func receive(l net.Listener, received *atomic.Int64) error {
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	buf := make([]byte, 256<<10)
	for {
		n, err := c.Read(buf)
		received.Add(int64(n))
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// send writes to c for duration and calls tick now and then.
func send(ctx context.Context, c net.Conn, duration time.Duration, tick func()) error {
	if err := c.SetWriteDeadline(time.Now().Add(duration + demoTimeout/2)); err != nil {
		return err
	}
	buf := make([]byte, 256<<10)
	end := time.Now().Add(duration)
	next := time.Now()
	for now := time.Now(); now.Before(end); now = time.Now() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !now.Before(next) {
			tick()
			next = now.Add(demoTick)
		}
		if _, err := c.Write(buf); err != nil {
			return err
		}
	}
	return nil
}

// bar is a progress bar of 20 places.
func bar(elapsed, duration time.Duration) string {
	const places = 20
	n := min(places, int(places*elapsed/duration))
	return "[" + strings.Repeat("=", n) + strings.Repeat(" ", places-n) + "]"
}

// rate is a number of bytes in a time as bits per second.
func rate(bytes int64, d time.Duration) string {
	bits := float64(bytes) * 8 / max(d.Seconds(), 1e-9)
	if bits < 1e9 {
		return fmt.Sprintf("%.0f Mbit/s", bits/1e6)
	}
	return fmt.Sprintf("%.2f Gbit/s", bits/1e9)
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}
