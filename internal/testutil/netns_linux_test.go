// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package testutil_test

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tunrouter/tunrouter/internal/testutil"
)

// here returns the identity of the calling thread's network namespace.
func here(t *testing.T) string {
	t.Helper()
	id, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestNS(t *testing.T) {
	testutil.NeedNetNS(t)
	testutil.LeakCheck(t)
	runtime.LockOSThread() // so that before and after are one thread's
	defer runtime.UnlockOSThread()
	home := here(t)

	ns := testutil.NewNS(t)
	if got := here(t); got != home {
		t.Fatalf("NewNS moved the caller to %s", got)
	}
	ns.Run(func() {
		inside := here(t)
		if inside == home {
			t.Errorf("Run did not enter the namespace")
		}
		out, err := exec.Command("readlink", "/proc/self/ns/net").Output()
		if got := strings.TrimSpace(string(out)); err != nil || got != inside {
			t.Errorf("child is in %q (%v), want %s", got, err, inside)
		}
		ifs, err := net.Interfaces()
		if err != nil || len(ifs) == 0 || ifs[0].Name != "lo" || ifs[0].Flags&net.FlagUp == 0 {
			t.Errorf("got interfaces %v (%v), want lo up", ifs, err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if got := here(t); got == inside {
				t.Errorf("a goroutine started inside runs in the namespace")
			}
		})
		wg.Wait()
	})
	if got := here(t); got != home {
		t.Errorf("after Run in %s, want %s", got, home)
	}

	want := errors.New("from inside")
	if err := ns.Do(func() error { return want }); err != want {
		t.Errorf("Do returned %v, want %v", err, want)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Errorf("panic did not pass through")
			}
		}()
		ns.Run(func() { panic("inside") })
	}()
	if got := here(t); got != home {
		t.Errorf("after panic in %s, want %s", got, home)
	}
}

// TestNSEnds proves that tb.Fatal inside a namespace leaves no thread there:
// afterwards no thread of the process is in it.
func TestNSEnds(t *testing.T) {
	testutil.NeedNetNS(t)
	var inside string
	ended := ends(t, func(tb testing.TB) {
		r := tb.(*recorder)
		ns := testutil.NewNS(r)
		defer func() {
			for _, f := range r.cleanups {
				f()
			}
		}()
		ns.Run(func() {
			inside = here(t)
			r.Fatal("inside")
		})
	})
	if ended != "fatal" || inside == "" {
		t.Fatalf("ended with %q inside %q, want fatal", ended, inside)
	}
	testutil.Eventually(t, 10*time.Second, "threads leave", func() error {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, task := range tasks {
			if id, err := os.Readlink("/proc/self/task/" + task.Name() + "/ns/net"); err == nil && id == inside {
				return errors.New("thread " + task.Name() + " is still inside")
			}
		}
		return nil
	})
}
