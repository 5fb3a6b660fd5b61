// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package lab

// An Implementation is a program that makes a WireGuard interface and has the
// command line of wireguard-go, or Nebula.
type Implementation struct {
	Name string
	// Path of the program.
	Path string
	// Learns says that the program follows a peer to the address that its
	// authenticated packets come from, and answers peers that were configured
	// without an endpoint.
	Learns bool
	// Sections is text of a configuration file, such as "[Router]\nQueues = 4\n",
	// of a router that is to run with it.
	Sections string
	// Nebula is set for a program that is no WireGuard; only [StartPair] runs it.
	Nebula *Nebula
}

// The names of the implementations, in the order in which they are shown.
const (
	RouterName   = "router"
	ForkName     = "fork"
	UpstreamName = "upstream"
	DebianName   = "debian"

	// No WireGuard:
	NebulaName        = "nebula"
	NebulaBuffersName = "nebula-buffers" // with larger socket buffers than its default
)

// Names returns the names of the WireGuard programs that
// [Programs.Implementation] knows.
func Names() []string { return []string{RouterName, ForkName, UpstreamName, DebianName} }

// ProgramNames returns all the names that [Programs.Implementation] knows.
func ProgramNames() []string { return append(Names(), NebulaName, NebulaBuffersName) }

// Implementation returns the implementation with the name, built. The test ends
// when there is no such, as it is missing or does not build.
func (p *Programs) Implementation(t T, name string) Implementation {
	t.Helper()
	switch name {
	case RouterName:
		return Implementation{Name: name, Path: p.Router(t), Learns: true}
	case ForkName:
		return Implementation{Name: name, Path: p.Fork(t)}
	case UpstreamName:
		return Implementation{Name: name, Path: p.Upstream(t), Learns: true}
	case DebianName:
		path := p.Debian()
		if path == "" {
			t.Fatalf("%s is not installed", debianPath)
		}
		return Implementation{Name: name, Path: path, Learns: true}
	case NebulaName, NebulaBuffersName:
		path, nebula := p.Nebula(t)
		nebula.Buffers = name == NebulaBuffersName
		return Implementation{Name: name, Path: path, Nebula: nebula}
	}
	t.Fatalf("no implementation %q, want one of %q", name, ProgramNames())
	return Implementation{}
}
