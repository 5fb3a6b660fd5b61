// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package netstack

import (
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// minTimer is the shortest timer of the stack.
//
// gVisor probes for a lost tail after twice the round trip (transport/tcp/
// rack.go, schedulePTO, 2026-09) and takes an acknowledgement that arrives
// meanwhile for proof of a loss: the window shrinks. Between hosts on one
// machine or LAN that is less than a goroutine may wait for a CPU: 8 streams on
// 2 busy cores saw 1,000 such probes and no loss in 1.5 GB. Linux adds two
// jiffies, up to 20 ms (net/ipv4/tcp_output.c, tcp_schedule_loss_probe).
// Nothing else in the stack asks for less than 100 ms.
const minTimer = 20 * time.Millisecond

// clock is the system's clock with timers of at least minTimer.
type clock struct{ tcpip.Clock }

// AfterFunc implements tcpip.Clock.
func (c clock) AfterFunc(d time.Duration, f func()) tcpip.Timer {
	return timer{c.Clock.AfterFunc(max(d, minTimer), f)}
}

type timer struct{ tcpip.Timer }

// Reset implements tcpip.Timer.
func (t timer) Reset(d time.Duration) { t.Timer.Reset(max(d, minTimer)) }
