// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/uapi"
)

// A captureOptions has the flags of "router capture".
type captureOptions struct {
	inner, outer bool
	count        uint64
	duration     time.Duration
	file         string
	snapLen      int
	dir          string
}

func (a *app) captureCommand() *cobra.Command {
	o := new(captureOptions)
	cmd := &cobra.Command{
		Use:   "capture NAME [--inner] [--outer] [FILTER...]",
		Short: "Write the packets of a router for Wireshark",
		Long: `Write the packets of a running router as pcapng, to a file or to standard output,
until interrupted. Each packet says in a comment which peer it is from or to.

--inner, which is the default, are the packets inside the tunnel: decrypted, as peers
have sent them, and those that go to peers after filter and routing. --outer are the
datagrams outside: WireGuard's, path discovery, and both over relays. Keys are never
written.

FILTER is in the language of tcpdump: host, net, port, portrange, src, dst, ip, ip6,
tcp, udp, icmp, icmp6, and, or, not and parentheses; also inbound, outbound and
peer NAME, a name or the beginning of a public key. Without one, all packets are
written.

The router keeps up to 8 MiB of packets that were not taken yet and then drops what
comes; how many that were is printed at the end. It is never slowed down.

NAME is the interface, or the path of a control socket.`,
		Example: `  router capture wg0 | wireshark -k -i -
  router capture wg0 -w wg0.pcapng 'peer phone and not port 22'
  router capture wg0 --outer -c 10 | tshark -r -
  ssh gateway router capture wg0 -s 100 icmp or icmp6 | wireshark -k -i -`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef(cmd, "%s takes a NAME, and perhaps a FILTER behind it", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case o.duration < 0:
				return usagef(cmd, "--duration must not be below zero")
			case o.snapLen < 0:
				return usagef(cmd, "--snaplen must not be below zero")
			}
			return a.capture(cmd, args[0], strings.Join(args[1:], " "), o)
		},
		ValidArgsFunction: completeRunning(&o.dir),
	}
	f := cmd.Flags()
	f.BoolVar(&o.inner, "inner", false, "packets inside the tunnel; the default without --outer")
	f.BoolVar(&o.outer, "outer", false, "datagrams outside the tunnel")
	f.Uint64VarP(&o.count, "count", "c", 0, "end after so many packets; 0 is never")
	f.DurationVar(&o.duration, "duration", 0, "end after so long; 0 is never")
	f.StringVarP(&o.file, "write", "w", "-", "write to `FILE`, which only you may read; - is standard output")
	f.IntVarP(&o.snapLen, "snaplen", "s", 0, "keep so many bytes of each packet; 0 is all")
	socketDirFlag(cmd, &o.dir)
	return cmd
}

func (a *app) capture(cmd *cobra.Command, name, filter string, o *captureOptions) (err error) {
	ctx, stop := withSignals(cmd.Context())
	defer stop()
	if o.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.duration)
		defer cancel()
	}
	if out, ok := a.out.(*os.File); ok && o.file == "-" && openTTY(out, out) != nil {
		return &exitError{code: exitUsage, err: errors.New("packets are not written to a terminal"),
			hint: "write them to a file with -w FILE, or to a program: router capture " + name + " | wireshark -k -i -"}
	}
	c, err := connect(o.dir, name, statusTimeout)
	if err != nil {
		return err
	}
	defer c.Close()
	w := a.out
	if o.file != "-" {
		f := &captureFile{name: o.file}
		defer func() { err = errors.Join(err, f.close()) }()
		w = f
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		return err
	}
	args := []uapi.KeyValue{
		{Key: "inner", Value: strconv.FormatBool(o.inner || !o.outer)},
		{Key: "outer", Value: strconv.FormatBool(o.outer)},
		{Key: "snaplen", Value: strconv.Itoa(o.snapLen)},
		{Key: "count", Value: strconv.FormatUint(o.count, 10)},
	}
	if filter != "" {
		args = append(args, uapi.KeyValue{Key: "filter", Value: filter})
	}
	counted := &countingWriter{w: w}
	answer, err := c.Stream(ctx, counted, "capture", args...)
	switch {
	case errors.Is(err, syscall.EPIPE):
		return nil // whoever read it has seen enough
	case err != nil:
		return captureError(err, counted.n > 0)
	}
	var n engine.CaptureStats
	if err := json.Unmarshal(answer, &n); err != nil {
		return fmt.Errorf("read the end of the capture: %w", err)
	}
	fmt.Fprintf(a.err, "%d packets captured, %d dropped by the capture\n", n.Captured, n.Dropped)
	return nil
}

// captureError says what is to be done about err.
func captureError(err error, begun bool) error {
	e := &exitError{code: exitRuntime, err: err}
	var refused *uapi.Error
	var file *fs.PathError
	switch {
	case errors.As(err, &file):
		e.err = file
	case errors.Is(err, errors.ErrUnsupported):
		e.hint = "it is another program, or an older version of this one"
	case errors.As(err, &refused):
		e.err = refused
		if strings.HasPrefix(refused.Error(), "filter: ") {
			e.code, e.hint = exitUsage, `run "router capture --help" to see what a filter may say`
		}
	case begun:
		e.err = fmt.Errorf("the capture broke off: %w", err)
	}
	return e
}

// A captureFile is a file that is made when there is something to write to it: a filter
// with a mistake costs nobody what was captured before.
type captureFile struct {
	name string
	file *os.File
}

func (c *captureFile) Write(b []byte) (n int, err error) {
	if c.file == nil {
		// What is captured is not for everybody's eyes.
		c.file, err = os.OpenFile(c.name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return 0, err
		}
	}
	return c.file.Write(b)
}

func (c *captureFile) close() error {
	if c.file == nil {
		return nil
	}
	return c.file.Close()
}

// A countingWriter counts what is written.
type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}
