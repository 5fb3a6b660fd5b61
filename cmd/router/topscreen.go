// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"time"
)

// Sequences of xterm and everything like it: the alternate screen, so that what was on
// the terminal is there again at the end, and no cursor.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	homeCursor  = "\x1b[H"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
)

// A topScreen shows samples on a terminal. It belongs to one goroutine.
type topScreen struct {
	t    *tty
	look topLook
	s    *topSample // nil: none yet
	room int        // peers that there is room for
}

// A topResult is a sample, or why there is none.
type topResult struct {
	s   *topSample
	err error
}

// A topSampler takes samples.
type topSampler interface {
	next(ctx context.Context) (*topSample, error)
}

// keyStop is ^Z.
const keyStop = 26

// runTopScreen shows samples, one every interval, until ctx ends, q is pressed or the
// terminal is gone. The terminal is as it was when it returns or panics, and while the
// program is stopped.
func runTopScreen(ctx context.Context, t *tty, source topSampler, interval time.Duration, look topLook) (err error) {
	first, err := source.next(ctx) // before the screen changes, so that an error stays on it
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	samples, keys, crashes := make(chan topResult), make(chan int), make(chan *topCrash, 2)
	running.Go(func() {
		defer catch(crashes)
		takeSamples(ctx, source, interval, samples)
	})
	// Its last Read may not end before the process does, where the terminal cannot be
	// asked to give up. Nobody waits for it then.
	typing := make(chan struct{})
	go func() {
		defer close(typing)
		defer catch(crashes)
		readKeys(ctx, t.in, keys)
	}()
	defer func() {
		if t.in.SetReadDeadline(time.Now()) == nil {
			<-typing
			t.in.SetReadDeadline(time.Time{}) //nolint:errcheck // it has just worked
		}
	}()
	defer cancel()
	resized, continued := make(chan os.Signal, 1), make(chan os.Signal, 1)
	notifyResized(resized)
	defer signal.Stop(resized)
	notifyContinued(continued)
	defer signal.Stop(continued)

	screen := &topScreen{t: t, look: look, s: first}
	defer func() { err = errors.Join(err, screen.leave()) }()
	if err := screen.enter(); err != nil {
		return err
	}
	for {
		if err := screen.draw(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case c := <-crashes:
			panic(c)
		case <-resized:
		case <-continued: // somebody else has stopped it
			if err := screen.enter(); err != nil {
				return err
			}
		case r := <-samples:
			screen.take(r)
		case k, ok := <-keys:
			if k == keyStop {
				if err := screen.stop(ctx, continued); err != nil {
					return err
				}
				continue
			}
			if !ok || screen.press(k) {
				return nil
			}
		}
	}
}

// enter takes the terminal. It may be called again when somebody else had it.
func (t *topScreen) enter() error {
	if err := t.t.raw(); err != nil {
		return err
	}
	_, err := io.WriteString(t.t.out, enterScreen)
	return err
}

// leave makes the terminal what it was before enter.
func (t *topScreen) leave() error {
	_, err := io.WriteString(t.t.out, leaveScreen)
	return errors.Join(err, t.t.restore())
}

// stop stops the program until it is continued.
func (t *topScreen) stop(ctx context.Context, continued <-chan os.Signal) error {
	if err := t.leave(); err != nil {
		return err
	}
	stopSelf(ctx, continued)
	return t.enter()
}

// takeSamples takes a sample every interval until ctx ends.
func takeSamples(ctx context.Context, source topSampler, interval time.Duration, to chan<- topResult) {
	every := time.NewTicker(interval)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		s, err := source.next(ctx)
		select {
		case <-ctx.Done():
			return
		case to <- topResult{s, err}:
		}
	}
}

// readKeys hands on what is typed until ctx or the input ends, and closes keys.
func readKeys(ctx context.Context, in io.Reader, keys chan<- int) {
	defer close(keys)
	buf := make([]byte, 64)
	var rest []byte
	for {
		n, err := in.Read(buf)
		var found []int
		found, rest = splitKeys(append(rest, buf[:n]...))
		for _, k := range found {
			select {
			case <-ctx.Done():
				return
			case keys <- k:
			}
		}
		if err != nil || ctx.Err() != nil {
			return
		}
	}
}

// take shows a result. After an error the last sample stays, and says so.
func (t *topScreen) take(r topResult) {
	if r.err != nil {
		t.look.problem = "no answer, trying again: " + r.err.Error()
		return
	}
	t.look.problem, t.s = "", r.s
}

// press obeys a key, and reports whether it says to quit.
func (t *topScreen) press(k int) (quit bool) {
	order, isOrder := topOrderOf(func(o *topOrder) bool { return int(o.key) == k })
	switch {
	case isOrder && order == t.look.order:
		t.look.reverse = !t.look.reverse
	case isOrder:
		t.look.order, t.look.reverse = order, false
	}
	first := t.look.first
	switch k {
	case 'q', 'Q', 3, 4: // ^C and ^D
		return true
	case keyUp, 'k':
		first--
	case keyDown, 'j':
		first++
	case keyPageUp:
		first -= t.room
	case keyPageDown, ' ':
		first += t.room
	case keyHome, 'g':
		first = 0
	case keyEnd, 'G':
		first = len(t.s.peers)
	}
	t.look.first = max(0, min(first, len(t.s.peers)-t.room))
	return false
}

// draw writes the whole screen at once: what does not change does not flicker.
func (t *topScreen) draw() error {
	t.look.width, t.look.height = t.t.size()
	t.s.sort(t.look.order, t.look.reverse)
	var lines []string
	lines, t.room = t.s.render(&t.look)
	var b strings.Builder
	b.WriteString(homeCursor)
	for i, line := range lines {
		if i > 0 {
			b.WriteString("\r\n") // not behind the last line: it would scroll
		}
		b.WriteString(line)
		if t.look.width <= 0 || visibleLen(line) < t.look.width { // otherwise it would erase the last character
			b.WriteString(clearLine)
		}
	}
	if len(lines) < t.look.height {
		b.WriteString("\r\n" + clearBelow)
	}
	_, err := io.WriteString(t.t.out, b.String())
	return err
}

// visibleLen is how many columns a line has that may have attributes in it.
func visibleLen(line string) int {
	n, inside := 0, false
	for _, r := range line {
		switch {
		case r == 0x1b:
			inside = true
		case inside:
			inside = r != 'm'
		default:
			n++
		}
	}
	return n
}
