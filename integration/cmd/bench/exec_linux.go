// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"os"
	"time"

	"github.com/tunrouter/tunrouter/integration/lab"
	"github.com/tunrouter/tunrouter/integration/lab/traffic"
)

// measureExec measures TCP of iperf3 that the router has started in a network of
// its own ("router exec"), and of iperf3 on a host with the router's interface.
func measureExec(s *scope, o options, im lab.Implementation) []result {
	if im.Name == tunName {
		return measureForward(s, o, im, 1)
	}
	net := lab.TwoHosts(1500).Build(s)
	a, b := net.Host("a"), net.Host("b")
	optionsA, optionsB := lab.TunnelOptions{OuterA: lab.A4, OuterB: lab.B4, Quiet: true}.Ends()
	lab.StartDevice(b, o.programs.Implementation(s, lab.ForkName), optionsB)
	traffic.Iperf3Server(s, b, lab.TunnelB4)
	a.AllowTUN()
	file := a.WriteNobodyFile("wg0.conf", optionsA.File(im.Sections))
	// It waits between the two for the CPU time to be taken.
	script := "ping -n -q -c 1 -w 20 %[1]s && touch %[2]s/ready"
	for i, flag := range []string{"", "-R"} {
		script += fmt.Sprintf(" && until [ -e %%[2]s/go%[1]d ]; do sleep 0.05; done && iperf3 -J -c %%[1]s -t %%[3]d %[2]s >%%[2]s/result%[1]d && touch %%[2]s/done%[1]d", i, flag)
	}
	script += " && exec sleep 600"
	p := a.Start(lab.AsNobody(lab.Command{Path: im.Path, Args: []string{
		"exec", file, "--", "sh", "-c", fmt.Sprintf(script, lab.TunnelB4, lab.NobodyDir, int(o.duration/time.Second)),
	}}))
	wait := func(name string) {
		lab.Wait(s, lab.Patience, name, func() error {
			if !p.Running() {
				s.Fatalf("router exec ended:\n%s", p.Output())
			}
			_, err := os.Stat(a.Path(lab.NobodyDir + "/" + name))
			return err
		})
	}
	wait("ready")
	var rates, cpu []result
	for i, w := range ways() {
		before := cpuOf(s, a, im.Path)
		a.WriteNobodyFile(fmt.Sprintf("go%d", i), "")
		wait(fmt.Sprintf("done%d", i))
		took := cpuOf(s, a, im.Path) - before
		r, err := traffic.ParseIperf3(lab.Result{Stdout: a.ReadFile(fmt.Sprintf("%s/result%d", lab.NobodyDir, i))})
		s.check(err)
		rates = append(rates, result{Figure: w.name, Unit: "Gbit/s", Main: true, Value: r.BitsPerSecond / 1e9})
		cpu = append(cpu, result{Figure: "CPU " + w.name, Unit: "seconds per GB", Less: true, Main: true, Value: took.Seconds() / (float64(r.Bytes) / 1e9)})
	}
	return append(rates, cpu...)
}

// cpuOf returns the CPU time of all processes of a host that run the program: it
// may have started itself again.
func cpuOf(s *scope, h *lab.Host, path string) time.Duration {
	var total time.Duration
	for _, pid := range h.Processes() {
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err != nil || exe != path {
			continue
		}
		u, err := lab.UsageOf(pid)
		s.check(err)
		total += u.CPU
	}
	return total
}
