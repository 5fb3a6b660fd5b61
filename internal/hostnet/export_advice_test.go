// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet

type KernelVersion = kernelVersion

// Facts are hostFacts in a form that tests can write.
type Facts struct {
	Kernel                    string
	ReceiveBuffer, SendBuffer int
	NIC                       string
	Active, Changeable        []string
	Forwarding4, Forwarding6  *bool
	TxQueueLen, RPFilterNIC   int
	SrcValidMark              bool
}

// Decide is what Advise returns on a host with these facts.
func Decide(f *Facts, o AdviceOptions) []Advice {
	facts := &hostFacts{
		kernel: parseKernelVersion(f.Kernel), receiveBuffer: f.ReceiveBuffer, sendBuffer: f.SendBuffer,
		nic: f.NIC, features: nicFeatures{set(f.Active), set(f.Changeable)},
		forwarding4: f.Forwarding4, forwarding6: f.Forwarding6,
		txQueueLen: f.TxQueueLen, rpFilterNIC: f.RPFilterNIC, srcValidMark: f.SrcValidMark,
	}
	return facts.advise(&o)
}

func set(names []string) map[string]bool {
	m := make(map[string]bool)
	for _, name := range names {
		m[name] = true
	}
	return m
}

var ParseKernelVersion = parseKernelVersion
