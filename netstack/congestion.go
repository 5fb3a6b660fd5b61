// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// Values of Options.CongestionControl.
const (
	congestionAuto  = "auto"
	congestionCubic = "cubic"
	congestionReno  = "reno"
)

// nearRTT is the round trip below which a path is near, for congestionAuto.
//
// CUBIC is not faster there: up to a window of some hundred packets it grows as Reno
// does (RFC 9438, section 4.3), and 1 Gbit/s times 10 ms are 900. But gVisor leaves
// slow start when acknowledgements have come close behind each other for half a
// round trip (HyStart, transport/tcp/cubic.go, updateHyStart, 2026-09), which
// below some milliseconds they do whenever this machine is busy: one stream over a
// veth pair stopped at a window of 216 packets after some milliseconds and grew by
// some 100 a second. It sent 2.4 Gbit/s, with Reno 3.9 (cmd/bench, forward1,
// medians of 3 interleaved runs, 2 CPUs, 2026-11).
const nearRTT = 10 * time.Millisecond

// chooseCongestion chooses by the round trip of the handshake. It is called before the
// connection has sent anything, because the choice begins a new slow start.
func (c *tcpConn) chooseCongestion() {
	if !c.net.auto {
		return
	}
	var info tcpip.TCPInfoOption
	if terr := c.ep.GetSockOpt(&info); terr != nil || info.RTT <= 0 || info.RTT >= nearRTT {
		return
	}
	reno := tcpip.CongestionControlOption(congestionReno)
	c.ep.SetSockOpt(&reno) // or the connection is gone again
}
