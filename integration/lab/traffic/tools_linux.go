// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package traffic

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
)

var pingSummary = regexp.MustCompile(`(\d+) packets transmitted, (\d+) received`)

// Ping runs ping(8) with count packets of size bytes of payload in the host and
// returns how many were answered within two seconds. The kernel counts: after
// its last packet ping itself waits only as long as two round trips took so far.
func Ping(from *lab.Host, dst netip.Addr, count, size int) (answered int, err error) {
	const patience = 2 * time.Second
	before := from.EchoReplies()
	r := from.Exec(lab.Command{Path: "ping", Args: []string{
		"-n", "-q", "-i", "0.02", "-W", strconv.Itoa(int(patience / time.Second)), "-c", strconv.Itoa(count), "-s", strconv.Itoa(size), dst.String(),
	}})
	m := pingSummary.FindStringSubmatch(r.Stdout)
	if m == nil {
		return 0, fmt.Errorf("ping %s: exit code %d: %s%s", dst, r.Code, r.Stdout, r.Stderr)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		answered = int(from.EchoReplies() - before)
		if answered >= count || time.Now().After(deadline) {
			return answered, nil
		}
	}
}

// WaitPing pings until an answer comes: the first packets of a tunnel may be
// lost with the handshake.
func WaitPing(t lab.T, from *lab.Host, dst netip.Addr) {
	t.Helper()
	lab.Wait(t, lab.Patience, fmt.Sprintf("ping %s", dst), func() error {
		r := from.Exec(lab.Command{Path: "ping", Args: []string{"-n", "-q", "-c", "1", "-W", "1", dst.String()}})
		if r.Code != 0 {
			return fmt.Errorf("%s%s", r.Stdout, r.Stderr)
		}
		return nil
	})
}

// Iperf3Server starts an iperf3 server in the host. It ends with the test.
func Iperf3Server(t lab.T, h *lab.Host, addr netip.Addr) {
	t.Helper()
	p := h.Start(lab.Command{Path: "iperf3", Args: []string{"-s", "-B", addr.String(), "--forceflush"}})
	lab.Wait(t, lab.Patience, "iperf3 server", func() error {
		if out := h.Output("ss", "-Hltn", "sport = 5201"); out == "" {
			return fmt.Errorf("not listening: %s", p.Output())
		}
		return nil
	})
}

// Iperf3Result is what iperf3 says about a TCP test.
type Iperf3Result struct {
	BitsPerSecond float64 // received, of all streams together
	Bytes         int64   // received
	Retransmits   int
}

// Iperf3 runs one TCP stream for the time, in whole seconds, at most 25, to the
// server at dst.
func Iperf3(from *lab.Host, dst netip.Addr, d time.Duration) (Iperf3Result, error) {
	return Iperf3Streams(from, dst, d, 1, false)
}

// Iperf3Streams is [Iperf3] with so many streams at once; reverse makes the
// server send.
func Iperf3Streams(from *lab.Host, dst netip.Addr, d time.Duration, streams int, reverse bool) (Iperf3Result, error) {
	args := []string{"-J", "-c", dst.String(), "-t", strconv.Itoa(int(d / time.Second)), "-P", strconv.Itoa(streams)}
	if reverse {
		args = append(args, "-R")
	}
	for deadline := time.Now().Add(lab.Patience); ; time.Sleep(20 * time.Millisecond) {
		r, err := ParseIperf3(from.Exec(lab.Command{Path: "iperf3", Args: args}))
		if err == nil || !closing(err) || time.Now().After(deadline) {
			return r, err
		}
	}
}

// closing reports whether the server refused because it still closes the streams of
// the test before; through a forward that is a connection which ends at once.
func closing(err error) bool {
	for _, words := range []string{"server is busy", "unable to connect to server: Connection reset", "control socket has closed unexpectedly"} {
		if strings.Contains(err.Error(), words) {
			return true
		}
	}
	return false
}

// ParseIperf3 reads what iperf3 -J says.
func ParseIperf3(r lab.Result) (Iperf3Result, error) {
	var report struct {
		Error string `json:"error"`
		End   struct {
			Sent struct {
				Retransmits int `json:"retransmits"`
			} `json:"sum_sent"`
			Received struct {
				BitsPerSecond float64 `json:"bits_per_second"`
				Bytes         int64   `json:"bytes"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	if err := json.Unmarshal([]byte(r.Stdout), &report); err != nil {
		return Iperf3Result{}, fmt.Errorf("iperf3: exit code %d: %w: %s%s", r.Code, err, r.Stdout, r.Stderr)
	}
	if report.Error != "" || r.Code != 0 {
		return Iperf3Result{}, fmt.Errorf("iperf3: exit code %d: %s", r.Code, report.Error)
	}
	received := report.End.Received
	return Iperf3Result{received.BitsPerSecond, received.Bytes, report.End.Sent.Retransmits}, nil
}
