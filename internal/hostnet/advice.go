// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

// A Severity says how much it costs not to follow an [Advice].
type Severity string

// The severities, from what costs least to what costs most.
const (
	SeverityInfo    Severity = "info"    // it works; it could be faster
	SeverityWarning Severity = "warning" // packets are lost under load, or it is much slower
	SeverityError   Severity = "error"   // something that is configured does not work
)

// An Advice is a condition of the host that hurts the tunnel.
type Advice struct {
	ID       string   // what it is about, for programs: "socket-buffer-receive"
	Severity Severity // the ones that cost most come first in a list
	Text     string   // the condition and what it does
	Remedy   string   // what the operator can do
}

// AdviceOptions say what is asked of the host.
type AdviceOptions struct {
	// Interface is the name of the TUN device; empty in netstack mode.
	Interface string
	// Mark is the firewall mark of the tunnel's own packets, to find the interface
	// that they leave through.
	Mark uint32
	// ReceiveBuffer and SendBuffer are what each UDP socket asks for, in bytes. 0
	// leaves them out.
	ReceiveBuffer, SendBuffer int
	// NoGSO, NoGRO and NoSentinel say what is switched off on the UDP sockets.
	NoGSO, NoGRO, NoSentinel bool
	// Forwards4 and Forwards6 say that the configuration wants the host to forward
	// packets of the family between the tunnel and its other interfaces.
	Forwards4, Forwards6 bool
	// PolicyRouting says that rules lead IPv4 packets into the tunnel, by their mark,
	// as with a default route.
	PolicyRouting bool
}

// hostFacts are what Advise looks at. What is not known is left out of it and gives
// no advice.
type hostFacts struct {
	kernel kernelVersion // zero: not known

	// The buffers that a socket gets that asks as AdviceOptions say; 0: not known.
	receiveBuffer, sendBuffer int

	// nic is the interface of the default route, underneath the tunnel; features are
	// its offloads.
	nic      string
	features nicFeatures

	forwarding4, forwarding6 *bool // from the tunnel's interface
	txQueueLen               int   // of the tunnel's interface; 0: not known
	rpFilterNIC              int   // net.ipv4.conf: 0 off, 1 strict, 2 loose
	srcValidMark             bool  // reverse paths are looked up with the mark
}

// nicFeatures are offloads of an interface by the names that ethtool -k has for
// them. Nil maps: not known.
type nicFeatures struct {
	active     map[string]bool
	changeable map[string]bool
}

const (
	featureGRO           = "rx-gro"
	featureUDPForwarding = "rx-udp-gro-forwarding"
	featureGROList       = "rx-gro-list"
)
