// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
	"golang.org/x/sys/unix"
)

// books are the series of a scrape, by name and labels.
type books map[string]float64

// metricsAt is where the routers of TestAccounting tell what they counted.
const metricsAt = "127.0.0.1:9586"

// scrape asks the router of a host.
func scrape(t *testing.T, h *lab.Host) books {
	t.Helper()
	var c net.Conn
	err := h.Do(func() (err error) { // dials on this thread, as there is but one address
		c, err = net.DialTimeout("tcp", metricsAt, lab.Patience)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(lab.Patience))
	q, err := http.NewRequest(http.MethodGet, "http://"+metricsAt+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Close = true
	if err := q.Write(c); err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(c), q)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("scrape: %s, %v", r.Status, err)
	}
	b := make(books)
	for line := range strings.SplitSeq(string(text), "\n") {
		at := strings.LastIndexByte(line, ' ')
		if at < 0 || line[0] == '#' {
			continue
		}
		v, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		b[strings.Replace(line[:at], `device="wg0",`, "", 1)] = v
	}
	return b
}

// sum adds up the series of a family.
func (b books) sum(family string) (n float64) {
	for name, v := range b {
		if strings.HasPrefix(name, family+"{") {
			n += v
		}
	}
	return n
}

func drop(stage, reason string) string {
	return fmt.Sprintf("router_dropped_packets_total{stage=%q,reason=%q}", stage, reason)
}

func pending(direction string) string {
	return fmt.Sprintf("router_wireguard_pending_packets{direction=%q}", direction)
}

// since is what was added to a series, or, named without labels, to a family.
func (b books) since(before books, name string) float64 {
	if strings.Contains(name, "{") {
		return b[name] - before[name]
	}
	return b.sum(name) - before.sum(name)
}

// drops lists the drops that were added.
func (b books) drops(before books) string {
	var out []string
	for name, v := range b {
		if n := v - before[name]; n != 0 && (strings.HasPrefix(name, "router_dropped_") || strings.HasPrefix(name, "router_wireguard_pending_")) {
			out = append(out, fmt.Sprintf("%s %+v", name, n))
		}
	}
	return strings.Join(out, "\n")
}

// A post sends datagrams and counts those that the kernel took.
type post struct {
	conn *net.UDPConn
	sent atomic.Int64
}

func newPost(t *testing.T, h *lab.Host, to netip.AddrPort) *post {
	t.Helper()
	p := new(post)
	if err := h.Do(func() (err error) {
		p.conn, err = net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(to))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.conn.Close() })
	return p
}

// burst sends n datagrams of some bytes, pausing a moment after each pace of them, so
// that no queue of the kernel between two hosts is full.
func (p *post) burst(t *testing.T, n, size, pace int) {
	t.Helper()
	b := make([]byte, size)
	for i := range n {
		if _, err := p.conn.Write(b); err != nil {
			t.Errorf("send to %v: %v", p.conn.RemoteAddr(), err)
			return
		}
		p.sent.Add(1)
		if pace > 0 && i%pace == pace-1 {
			time.Sleep(time.Millisecond)
		}
	}
}

// A box counts the datagrams that arrive at an address.
type box struct {
	at  netip.AddrPort
	got atomic.Int64
}

func newBox(t *testing.T, h *lab.Host, at netip.AddrPort) *box {
	t.Helper()
	b := &box{at: at}
	var c *net.UDPConn
	if err := h.Do(func() (err error) {
		c, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var optErr error
	// What arrives here must not be lost here.
	if err := raw.Control(func(fd uintptr) {
		optErr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 256<<20)
	}); err != nil || optErr != nil {
		t.Fatal(err, optErr)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1<<16)
		for {
			if _, err := c.Read(buf); err != nil {
				return // closed
			}
			b.got.Add(1)
		}
	}()
	t.Cleanup(func() {
		c.Close()
		<-done
	})
	return b
}

// overheard returns messages for b: the 200 that a has sent it during f as host at has
// heard them, two forgeries of each, and 200 that are none.
func (l *counted) overheard(t *testing.T, at *lab.Host, f func()) (lots [][][]byte) {
	t.Helper()
	sniffer := must(traffic.Sniff(at, "eth0"))(t)
	f()
	var heard, forged, junk [][]byte
	for _, d := range must(sniffer.Stop())(t) {
		if d.Dst == outerPort(lab.B4) && len(d.Payload) > 32 && d.Payload[0] == 4 {
			heard = append(heard, d.Payload)
			bad := bytes.Clone(d.Payload)
			bad[len(bad)-1] ^= 1 // not authentic
			unknown := bytes.Clone(d.Payload)
			binary.LittleEndian.PutUint32(unknown[4:], 1) // no such session
			binary.LittleEndian.PutUint64(unknown[8:], 1<<40)
			binary.LittleEndian.PutUint64(bad[8:], 1<<40)
			forged = append(forged, bad, unknown)
		}
	}
	if len(heard) != 200 {
		t.Fatalf("%d messages were overheard, want 200", len(heard))
	}
	for range 100 {
		junk = append(junk, []byte{9, 0, 0, 0, 1}, []byte{4, 0, 0, 0, 1})
	}
	return [][][]byte{heard, forged, junk}
}
