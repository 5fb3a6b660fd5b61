// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package tunwrap_test

import (
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tunrouter/tunrouter/tunwrap"
)

// buffers returns packets of the given sizes behind 16 bytes.
func buffers(sizes ...int) [][]byte {
	out := make([][]byte, len(sizes))
	for i, n := range sizes {
		out[i] = make([]byte, 16+n)
	}
	return out
}

func TestWriteTo_batches(t *testing.T) {
	f := newFakeTUN()
	var runs []int
	f.write = func(_ int, bufs [][]byte, offset int) (int, error) {
		for _, b := range bufs {
			if len(b) <= offset {
				t.Error("an empty packet came through")
			}
		}
		runs = append(runs, len(bufs))
		return len(bufs), nil
	}
	d := wrap(t, f, nil)
	many := make([]int, 2*tunwrap.MaxWrite+10)
	for i := range many {
		many[i] = 60
	}
	for _, test := range []struct {
		name  string
		sizes []int
		runs  []int
		want  int
	}{
		{"nothing", nil, nil, 0},
		{"one", []int{60}, []int{1}, 1},
		{"more than the device merges", many, []int{tunwrap.MaxWrite, tunwrap.MaxWrite, 10}, len(many)},
		{"empty ones", []int{0, 60, 60, 0, 0, 60, 0}, []int{2, 1}, 3},
		{"only empty ones", []int{0, 0}, nil, 0},
	} {
		runs = nil
		n, err := d.Write(buffers(test.sizes...), 16)
		if n != test.want || err != nil {
			t.Errorf("%s: %d, %v, want %d", test.name, n, err, test.want)
		}
		if diff := cmp.Diff(test.runs, runs); diff != "" {
			t.Errorf("%s: runs (-want +got):\n%s", test.name, diff)
		}
	}
	want := tunwrap.WriteStats{
		Packets: uint64(len(many)) + 4, Bytes: 60 * (uint64(len(many)) + 4), Writes: 3,
		Batches: tunwrap.Histogram{1, 1, 0, 0, 0, 0, 0, 1}, Empty: 6,
	}
	if diff := cmp.Diff(want, d.Stats().Queues[0].Write); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
}

// TestWriteTo_errors checks what a device that counts packets may return. The
// sum over all packets is always what was given.
func TestWriteTo_errors(t *testing.T) {
	broken := errors.New("broken")
	for _, test := range []struct {
		name    string
		n       int
		err     error
		wantN   int
		wantErr error
		drops   tunwrap.WriteDrops
	}{
		{"all", 3, nil, 3, nil, tunwrap.WriteDrops{}},
		{"bytes instead of packets", 300, nil, 3, nil, tunwrap.WriteDrops{}},
		{"some", 2, nil, 2, nil, tunwrap.WriteDrops{Other: 1}},
		{"some with error", 1, broken, 1, broken, tunwrap.WriteDrops{Other: 2}},
		{"none with error", 0, broken, 0, broken, tunwrap.WriteDrops{Other: 3}},
		{"less than none", -5, broken, 0, broken, tunwrap.WriteDrops{Other: 3}},
		{"more than all with error", 9, broken, 3, broken, tunwrap.WriteDrops{}},
		{"closed", 1, os.ErrClosed, 1, os.ErrClosed, tunwrap.WriteDrops{Closed: 2}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFakeTUN()
			f.write = func(int, [][]byte, int) (int, error) { return test.n, test.err }
			d := wrap(t, f, nil)
			n, err := d.Write(buffers(100, 100, 100), 16)
			if n != test.wantN || err != test.wantErr {
				t.Errorf("Write returned %d, %v, want %d, %v", n, err, test.wantN, test.wantErr)
			}
			s := d.Stats().Queues[0].Write
			if s.Dropped != test.drops || s.Packets+s.Dropped.Total() != 3 || s.Bytes != 100*s.Packets {
				t.Errorf("stats %+v, want drops %+v", s, test.drops)
			}
		})
	}
}

// TestWriteTo_restAfterError checks that packets behind an error are counted.
func TestWriteTo_restAfterError(t *testing.T) {
	f := newFakeTUN()
	f.write = func(int, [][]byte, int) (int, error) { return 0, os.ErrClosed }
	d := wrap(t, f, nil)
	if n, err := d.Write(buffers(10, 0, 10, 0), 16); n != 0 || !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write returned %d, %v", n, err)
	}
	s := d.Stats().Queues[0].Write
	if s.Dropped.Closed != 2 || s.Empty != 2 || s.Errors != 1 {
		t.Errorf("stats %+v, want 2 closed, 2 empty, 1 error", s)
	}
}

func TestWriteNoAllocs(t *testing.T) {
	d := wrap(t, newFakeTUN(), nil)
	bufs := buffers(make([]int, 128)...)
	for i := range bufs {
		bufs[i] = make([]byte, 16+i%3*500)
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := d.WriteTo(7, bufs, 16); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("WriteTo allocates %v times", n)
	}
}
