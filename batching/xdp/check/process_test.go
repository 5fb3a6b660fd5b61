// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package check

import (
	"errors"
	"math"
	"strings"
	"testing"
)

// goodProcess may do everything.
func goodProcess() *processFacts {
	return &processFacts{release: "6.12.1", major: 6, minor: 12, netAdmin: true, netRaw: true, bpf: true, sysAdmin: true, ipcLock: true}
}

// find returns the finding about something that has the text in it.
func find(r *Report, about, text string) (Finding, bool) {
	for _, f := range r.Findings {
		if f.About == about && strings.Contains(f.Text, text) {
			return f, true
		}
	}
	return Finding{}, false
}

// expect fails the test unless there is a finding of the level, and the verdict fits.
func expect(t *testing.T, r *Report, level Level, about, text string) {
	t.Helper()
	f, ok := find(r, about, text)
	if !ok {
		t.Errorf("nothing about %s with %q: %+v", about, text, r.Findings)
		return
	}
	if f.Level != level {
		t.Errorf("%s: %s is %q, want %q", about, f.Text, f.Level, level)
	}
	if stopped := strings.Contains(r.String(), f.Text); stopped != (level == Stops) {
		t.Errorf("%s %s, the verdict is: %s", level, f.Text, r)
	}
}

func TestProcess(t *testing.T) {
	for _, tt := range []struct {
		name        string
		change      func(*processFacts)
		level       Level
		about, text string
	}{
		{"kernel", func(*processFacts) {}, OK, "kernel", "6.12.1"},
		{"first kernel", func(f *processFacts) { f.release, f.major, f.minor = "5.9.0", 5, 9 }, OK, "kernel", "5.9.0"},
		{"old kernel", func(f *processFacts) { f.release, f.major, f.minor = "5.8.18", 5, 8 }, Stops, "kernel", "5.8.18"},
		{"very old kernel", func(f *processFacts) { f.release, f.major, f.minor = "4.19.1", 4, 19 }, Stops, "kernel", "4.19.1"},
		{"strange kernel", func(f *processFacts) { f.release, f.major, f.minor = "next", 0, 0 }, Note, "kernel", "next"},
		{"privilege", func(*processFacts) {}, OK, "privilege", "CAP_BPF"},
		{"without CAP_SYS_ADMIN", func(f *processFacts) { f.sysAdmin = false }, OK, "privilege", "CAP_BPF"},
		{"CAP_SYS_ADMIN for two", func(f *processFacts) { f.bpf, f.netAdmin = false, false }, OK, "privilege", "CAP_BPF"},
		{"no CAP_BPF", func(f *processFacts) { f.bpf, f.sysAdmin = false, false }, Stops, "privilege", "has no CAP_BPF"},
		{"no CAP_NET_ADMIN", func(f *processFacts) { f.netAdmin, f.sysAdmin = false, false }, Stops, "privilege", "has no CAP_NET_ADMIN"},
		{"no CAP_NET_RAW", func(f *processFacts) { f.netRaw = false }, Stops, "privilege", "has no CAP_NET_RAW"},
		{"nothing", func(f *processFacts) { *f = processFacts{release: f.release, major: f.major} }, Stops, "privilege", "CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF"},
		{"user namespace", func(f *processFacts) { f.userNS = true }, Stops, "privilege", "user namespace"},
		{"sockets", func(*processFacts) {}, OK, "sockets", "has AF_XDP"},
		{"no sockets", func(f *processFacts) { f.socketErr = errors.New("family not supported") }, Stops, "sockets", "family not supported"},
		{"sockets refused", func(f *processFacts) { f.socketErr, f.socketRefused = errors.New("not permitted"), true }, Stops, "sockets", "refused: not permitted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, r := goodProcess(), &Report{Verdict: Unknown}
			tt.change(f)
			f.report(r)
			expect(t, r, tt.level, tt.about, tt.text)
		})
	}
}

func TestMemory(t *testing.T) {
	const mib = 1 << 20
	for _, tt := range []struct {
		name    string
		queues  int
		memlock uint64
		frame   int
		minor   int // of Linux 5
		level   Level
		text    string
	}{
		{"one queue", 1, 8 * mib, smallFrame, 15, OK, "8 MiB may be locked, 8 MiB are needed"},
		{"large frames", 1, 8 * mib, largeFrame, 15, Stops, "16 MiB are needed"},
		{"no limit", 16, math.MaxUint64, smallFrame, 15, OK, "any amount may be locked, 128 MiB"},
		{"too little for one", 1, 8*mib - 1, smallFrame, 15, Stops, "8191 KiB may be locked"},
		{"too little for four", 4, 23 * mib, smallFrame, 15, Stops, "23 MiB may be locked (RLIMIT_MEMLOCK), 32 MiB are needed"},
		{"maps count", 1, 8 * mib, smallFrame, 10, Stops, "8448 KiB are needed"},
		{"maps do not count", 1, 8 * mib, smallFrame, 11, OK, "8 MiB are needed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, r := &processFacts{major: 5, minor: tt.minor, memlock: tt.memlock}, &Report{Verdict: Unknown}
			f.reportMemory(r, tt.queues, tt.frame)
			expect(t, r, tt.level, "memory", tt.text)
		})
	}
	r := &Report{}
	(&processFacts{major: 6, memlock: 23 * mib}).reportMemory(r, 4, smallFrame)
	if remedy := r.Findings[0].Remedy; !strings.HasSuffix(remedy, "or let the router use 2 of the 4 queues") {
		t.Errorf("remedy for too little: %s", remedy)
	}
	r = &Report{}
	(&processFacts{major: 5, minor: 10, ipcLock: true}).reportMemory(r, 16, largeFrame)
	if len(r.Findings) != 0 {
		t.Errorf("with CAP_IPC_LOCK: %+v", r.Findings)
	}
}
