// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package hostnet_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tunrouter/tunrouter/internal/hostnet"
	"golang.org/x/sys/unix"
)

// A script answers a watch: the n-th question with TxDropped n, or with err.
type script struct {
	mu     sync.Mutex
	asked  uint64
	closed int
	err    error
}

func (s *script) query() hostnet.FakeQuery {
	return hostnet.FakeQuery{
		Ask: func() (*hostnet.LinkStatistics, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.asked++
			if s.err != nil {
				return nil, s.err
			}
			return &hostnet.LinkStatistics{TxDropped: s.asked}, nil
		},
		Close: func() { s.mu.Lock(); s.closed++; s.mu.Unlock() },
	}
}

func (s *script) fail(err error) { s.mu.Lock(); s.err = err; s.mu.Unlock() }

func (s *script) want(t *testing.T, what string, asked uint64, closed int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked != asked || s.closed != closed {
		t.Errorf("%s: asked %d times and closed %d times, want %d and %d", what, s.asked, s.closed, asked, closed)
	}
}

func wantLatest(t *testing.T, what string, w *hostnet.LinkWatch, dropped uint64, known, gone bool) {
	t.Helper()
	s, ok := w.Latest()
	if ok != known || (s != nil) != known || known && s.TxDropped != dropped || w.Gone() != gone {
		t.Errorf("%s: got %v, known %t, gone %t; want %d, %t, %t", what, s, ok, w.Gone(), dropped, known, gone)
	}
}

func TestLinkWatchPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(script)
		w, err := hostnet.NewFakeLinkWatch(s.query())
		if err != nil {
			t.Fatal(err)
		}
		wantLatest(t, "at once", w, 1, true, false)
		time.Sleep(hostnet.LinkPollAtMost - 1)
		wantLatest(t, "just before a second", w, 1, true, false)
		time.Sleep(1)
		wantLatest(t, "after a second", w, 2, true, false)
		wantLatest(t, "again", w, 2, true, false)

		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { w.Run(ctx); close(done) }()
		time.Sleep(4*hostnet.LinkPollEvery + 1)
		synctest.Wait()
		s.want(t, "after a minute", 6, 0)
		wantLatest(t, "what Run has just seen", w, 6, true, false)

		s.fail(unix.ENOBUFS)
		time.Sleep(hostnet.LinkPollEvery)
		wantLatest(t, "no answer", w, 0, false, false)
		s.fail(nil)
		time.Sleep(hostnet.LinkPollEvery)
		wantLatest(t, "an answer again", w, 8, true, false)

		cancel()
		<-done
		w.Close()
		w.Close()
		time.Sleep(time.Hour)
		wantLatest(t, "closed", w, 0, false, false)
		s.want(t, "closed", 8, 1)
	})
}

func TestLinkWatchGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(script)
		w, err := hostnet.NewFakeLinkWatch(s.query())
		if err != nil {
			t.Fatal(err)
		}
		s.fail(hostnet.ErrLinkGone)
		w.Run(t.Context()) // ends by itself
		wantLatest(t, "gone", w, 0, false, true)
		s.fail(nil)
		time.Sleep(time.Hour)
		wantLatest(t, "another one with its index", w, 0, false, true)
		s.want(t, "gone", 2, 0)
		w.Close()
		s.want(t, "closed", 2, 1)
	})
}

func TestLinkWatchRefused(t *testing.T) {
	s := &script{err: errors.ErrUnsupported}
	if _, err := hostnet.NewFakeLinkWatch(s.query()); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got error %v", err)
	}
	s.want(t, "refused", 1, 1)
	for _, index := range []int{0, -1, 1 << 30} {
		if _, err := hostnet.NewLinkWatch(index); !errors.Is(err, hostnet.ErrLinkGone) {
			t.Errorf("index %d: got error %v", index, err)
		}
	}
}

// TestLinkWatchWaits checks that nobody waits for a kernel that takes its time.
func TestLinkWatchWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asking, answer := make(chan struct{}), make(chan struct{})
		first := true
		w, err := hostnet.NewFakeLinkWatch(hostnet.FakeQuery{
			Ask: func() (*hostnet.LinkStatistics, error) {
				if first {
					first = false
					return &hostnet.LinkStatistics{TxDropped: 1}, nil
				}
				asking <- struct{}{}
				<-answer
				return &hostnet.LinkStatistics{TxDropped: 2}, nil
			},
			Close: func() {},
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		slow := make(chan uint64)
		go func() { s, _ := w.Latest(); slow <- s.TxDropped }()
		<-asking
		wantLatest(t, "while another asks", w, 1, true, false)
		close(answer)
		if got := <-slow; got != 2 {
			t.Errorf("the one that asks got %d, want 2", got)
		}
		wantLatest(t, "afterwards", w, 2, true, false)
		w.Close()
	})
}
