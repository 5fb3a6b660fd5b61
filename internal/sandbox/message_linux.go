// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Messages are lines of JSON. Arguments of the command are not in them: they need not
// be text.

// A setup is the first message of the parent.
type setup struct {
	Parent  int  // process id, to notice its death
	UserNS  bool // the child is in a user namespace of its own
	Network Network
}

// An answer is the only message of the child; the queues come with it.
type answer struct {
	Warnings []string `json:",omitempty"`

	// An Error, if Op is not empty.
	Op, Err, Remedy string `json:",omitempty"`
}

// A start is the second message of the parent: the router runs.
type start struct{ Start bool }

// maxMessage is more than an answer has: warnings and one error of a line each.
const maxMessage = 64 << 10

// send writes a message, together with copies of the files.
func send(conn *net.UnixConn, message any, files []*os.File) error {
	text, err := json.Marshal(message)
	if err != nil {
		return err
	}
	text = append(text, '\n')
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		rights = unix.UnixRights(fds...)
	}
	n, _, err := conn.WriteMsgUnix(text, rights, nil)
	for err == nil && n < len(text) {
		text = text[n:]
		n, err = conn.Write(text)
	}
	return err
}

// receive reads an answer and the files that come with it. The error is
// [io.ErrUnexpectedEOF] if the other end closes before.
func receive(conn *net.UnixConn) (a *answer, files []*os.File, err error) {
	defer func() {
		if err != nil {
			closeAll(files)
			files = nil
		}
	}()
	var text []byte
	rights := make([]byte, unix.CmsgSpace(maxQueues*4))
	for len(text) < maxMessage {
		part := make([]byte, maxMessage)
		n, rightsLen, _, _, err := conn.ReadMsgUnix(part, rights)
		if n == 0 && (err == nil || errors.Is(err, io.EOF)) {
			return nil, files, io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, files, err
		}
		more, err := filesOf(rights[:rightsLen])
		files = append(files, more...)
		if err != nil {
			return nil, files, err
		}
		text = append(text, part[:n]...)
		if bytes.HasSuffix(text, []byte("\n")) {
			a = new(answer)
			err := json.Unmarshal(text, a)
			return a, files, err
		}
	}
	return nil, files, fmt.Errorf("message of more than %d bytes", maxMessage)
}

// filesOf takes the descriptors out of control messages; they are closed on exec.
func filesOf(control []byte) (files []*os.File, err error) {
	messages, err := syscall.ParseSocketControlMessage(control)
	if err != nil {
		return nil, err
	}
	for i := range messages {
		fds, err := syscall.ParseUnixRights(&messages[i])
		if err != nil {
			return files, err
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "queue"))
		}
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
