// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
	"github.com/tunrouter/tunrouter/internal/testutil"
)

// Topology of TestCapture:
//
//	a (the router) eth0 ── veth ── eth0 b (a router)

// A recording is a "router capture" that runs.
type recording struct {
	*lab.Process
	host *lab.Host
	file string
}

// record starts a capture of wg0 and waits until it takes packets.
func record(t *testing.T, h *lab.Host, bin string, args ...string) *recording {
	t.Helper()
	r := &recording{host: h, file: filepath.Join(t.TempDir(), "capture.pcapng")}
	r.Process = h.Start(lab.Command{Path: bin, Args: append([]string{"capture", "wg0", "-w", r.file}, args...)})
	lab.Wait(t, lab.Patience, "the capture begins", func() error {
		if info, err := os.Stat(r.file); err != nil || info.Size() == 0 {
			return fmt.Errorf("nothing in %s: %s", r.file, r.Output())
		}
		return nil
	})
	return r
}

var captureCounts = regexp.MustCompile(`^(\d+) packets captured, (\d+) dropped by the capture\n$`)

// end interrupts the capture and returns how many packets it says that it took.
func (r *recording) end(t *testing.T) int {
	t.Helper()
	r.Signal(syscall.SIGINT)
	if code := r.Wait(); code != 0 {
		t.Errorf("exit code %d: %s", code, r.Output())
	}
	m := captureCounts.FindStringSubmatch(r.Output())
	if m == nil {
		t.Fatalf("it says %q", r.Output())
	}
	if m[2] != "0" {
		t.Errorf("%s packets were dropped", m[2])
	}
	return number(m[1])
}

func number(s string) int {
	n := 0
	fmt.Sscan(s, &n)
	return n
}

// fields returns the fields that tshark finds in each packet of the capture.
func (r *recording) fields(t *testing.T, options []string, names ...string) [][]string {
	t.Helper()
	args := append([]string{"-r", r.file, "-T", "fields", "-E", "separator=;", "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"}, options...)
	for _, n := range names {
		args = append(args, "-e", n)
	}
	var out [][]string
	for line := range strings.Lines(r.host.Output("tshark", args...)) {
		// The direction is 1 or 2, whatever the version of tshark writes it as.
		line = strings.ReplaceAll(line, "0x0000000", "")
		out = append(out, strings.Split(strings.TrimRight(line, "\n"), ";"))
	}
	return out
}

// TestCapture: captures of both sides, as tshark reads them, and one that nobody reads.
func TestCapture(t *testing.T) {
	bin := router(t)
	testutil.NeedTool(t, "tshark", "capinfos", "sh")
	t.Parallel()
	n := lab.TwoHosts(1500).Build(t)
	a, b := n.Host("a"), n.Host("b")
	im := lab.Implementation{Name: lab.RouterName, Path: bin, Learns: true}
	tunnel := lab.StartTunnel(lab.TunnelOptions{A: im, B: im, HostA: a, HostB: b, OuterA: lab.A4, OuterB: lab.B4})
	key := tunnel.B.PrivateKey.Public().String()

	inner := record(t, a, bin, "icmp", "and", "peer", key[:6])
	both := record(t, a, bin, "--inner", "--outer")
	cut := record(t, a, bin, "-s", "60", "-c", "5", "--outer")

	// All that is sent fits into the memory of the captures: none is dropped.
	traffic.WaitPing(t, a, lab.TunnelB4)
	const bytes = 512 << 10
	must(traffic.TCP(a, b, lab.TunnelB4, bytes))(t)
	must(traffic.TCP(b, a, lab.TunnelA4, bytes))(t)

	// Inside: the peer in the comment, the direction, what the filter says and no more.
	captured := inner.end(t)
	packets := inner.fields(t, nil, "frame.comment", "ip.src", "ip.dst", "icmp.type", "frame.packet_flags_direction", "frame.interface_name", "ip.checksum.status")
	if captured < 2 || len(packets) != captured {
		t.Errorf("%d packets captured, %d in the file", captured, len(packets))
	}
	ways := map[string]int{}
	for _, p := range packets {
		way := strings.Join(p, ";")
		ways[way]++
	}
	for _, want := range []string{
		"to peer " + key[:8] + ";10.77.0.1;10.77.0.2;8;2;wg0;1",
		"from peer " + key[:8] + ";10.77.0.2;10.77.0.1;0;1;wg0;1",
	} {
		if ways[want] == 0 {
			t.Errorf("no packets %s: %v", want, ways)
		}
		delete(ways, want)
	}
	if len(ways) != 0 {
		t.Errorf("other packets: %v", ways)
	}

	// Outside: all of WireGuard's messages are that to Wireshark, with right checksums.
	captured = both.end(t)
	packets = both.fields(t, []string{"-Y", `frame.interface_name == "wg0-outer"`},
		"_ws.col.Protocol", "wg.type", "ip.src", "ip.dst", "udp.port", "udp.checksum.status", "ip.checksum.status", "frame.comment", "frame.packet_flags_direction")
	types := map[string]int{}
	for _, p := range packets {
		if p[5] != "1" || p[6] != "1" {
			t.Fatalf("checksums of %v", p)
		}
		if p[1] == "" { // path discovery
			continue
		}
		types[p[1]]++
		want, comment := "192.0.2.1;192.0.2.2", "to peer "+key[:8]
		if p[8] == "1" {
			want, comment = "192.0.2.2;192.0.2.1", "from peer "+key[:8]
		}
		if p[0] != "WireGuard" || p[2]+";"+p[3] != want || p[4] != "51820,51820" || p[7] != comment {
			t.Fatalf("message %v, want WireGuard from and to %s, %s", p, want, comment)
		}
	}
	if types["1"] == 0 || types["2"] == 0 || types["4"] < 4*bytes/1420 {
		t.Errorf("messages by type: %v", types)
	}
	// Data inside and outside is the same.
	tcp := both.fields(t, []string{"-Y", `frame.interface_name == "wg0" && tcp.len > 0`}, "tcp.len", "tcp.checksum.status", "ip.src")
	sent := map[string]int{}
	for _, p := range tcp {
		sent[p[2]] += number(p[0])
		if p[1] == "0" {
			t.Fatalf("TCP checksum of %v", p)
		}
	}
	for _, from := range []string{"10.77.0.1", "10.77.0.2"} {
		if sent[from] < bytes {
			t.Errorf("%d bytes of TCP from %s are in the file, %d were sent", sent[from], from, bytes)
		}
	}
	info := a.Output("capinfos", "-M", both.file)
	for _, want := range []string{"Number of packets:   " + fmt.Sprint(captured), "Number of interfaces in file: 2", "Name = wg0-outer", "Name = wg0\n", "Time precision = nanoseconds"} {
		if !strings.Contains(info, want) {
			t.Errorf("capinfos does not say %q:\n%s", want, info)
		}
	}

	// Cut, and ended by itself.
	if code := cut.Wait(); code != 0 || cut.Output() != "5 packets captured, 0 dropped by the capture\n" {
		t.Errorf("with -c 5: code %d, %q", code, cut.Output())
	}
	for _, p := range cut.fields(t, nil, "frame.cap_len", "frame.len") {
		if p[0] != "60" {
			t.Errorf("cut to %s of %s bytes", p[0], p[1])
		}
	}
	if info, err := os.Stat(cut.file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file %v, %v", info, err)
	}

	// Under load, with a reader that does not read: sh has the pipe open and sleeps. What
	// cannot be kept is counted, and traffic goes on.
	stuck := a.Start(lab.Command{Path: "sh", Args: []string{"-c", bin + " capture wg0 --outer | sleep 1000"}})
	busy := record(t, a, bin, "--inner", "--outer")
	const load = 20 << 20 // more than is kept for the one that is stuck
	must(traffic.TCP(a, b, lab.TunnelB4, load))(t)
	must(traffic.TCP(b, a, lab.TunnelA4, load))(t)
	if !stuck.Running() {
		t.Errorf("the capture that nobody reads has ended: %s", stuck.Output())
	}
	stuck.Kill()

	// A capture ends with the router, as it should.
	tunnel.A.Process.Stop()
	if code := busy.Wait(); code != 0 {
		t.Errorf("the router ended: code %d, %q", code, busy.Output())
	}
	m := captureCounts.FindStringSubmatch(busy.Output())
	if m == nil {
		t.Fatalf("it says %q", busy.Output())
	}
	if info := a.Output("capinfos", "-cM", busy.file); !strings.Contains(info, "Number of packets:   "+m[1]+"\n") {
		t.Errorf("%s packets captured, and in the file:\n%s", m[1], info)
	}
	if n := number(m[1]) + number(m[2]); n < 2*2*load/1420 {
		t.Errorf("%d packets captured and dropped, fewer than were sent", n)
	}
}

// TestCaptureRelayed: what goes over a relay is captured as it is on the wire, and says
// whose it is.
func TestCaptureRelayed(t *testing.T) {
	testutil.NeedTool(t, "tshark")
	l := newPathsLab(t, pathsOptions{a: lab.HardNAT, b: lab.HardNAT})
	l.start(t)
	r := record(t, l.a.Host, l.bin, "--outer")
	p := l.ping(t, 50*time.Millisecond)
	l.waitChosen(t, l.a.Host, true)
	time.Sleep(500 * time.Millisecond) // some packets more
	p.Stop()
	r.end(t)
	key := l.optionsB.PrivateKey.Public().String()[:8]
	got := map[string]int{}
	for _, f := range r.fields(t, []string{"-d", fmt.Sprintf("udp.port==%d,geneve", lab.RelayPort), "-Y", "geneve.proto_type == 0x7a12"},
		"geneve.version", "geneve.options", "udp.checksum.status", "frame.packet_flags_direction", "frame.comment") {
		got[strings.Join(f, ";")]++
	}
	for _, want := range []string{"0;;1;2;to peer " + key, "0;;1;1;from peer " + key} {
		if got[want] == 0 {
			t.Errorf("no frames %s: %v", want, got)
		}
		delete(got, want)
	}
	// The first frames of a pair may come before it is known whose it is.
	for what, n := range got {
		if n > 2 {
			t.Errorf("%d frames %s", n, what)
		}
	}
}
