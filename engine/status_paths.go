// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tunrouter/tunrouter/internal/roomlog"
	"github.com/tunrouter/tunrouter/peers"
	"github.com/tunrouter/tunrouter/peers/path"
	"github.com/tunrouter/tunrouter/uapi"
)

// pathKey is the extension of WireGuard's configuration protocol with the paths of
// a peer: the JSON form of a [path.PeerStatus].
const pathKey = "tunrouter_path"

// A PathInfo says by which paths a peer is reached, and what went over them. It has a
// JSON form.
type PathInfo struct {
	path.PeerStatus
	// Traffic is in the order of Paths.
	Traffic []peers.PathTraffic `json:"traffic"`
}

func (e *Engine) withTraffic(s *path.PeerStatus) *PathInfo {
	info := &PathInfo{PeerStatus: *s}
	for i := range s.Paths {
		info.Traffic = append(info.Traffic, e.bind.PathTraffic(s.Paths[i].Path))
	}
	return info
}

// PathOf returns the paths of a peer of a device that [Engine.Status], or the control
// socket of a router, gave; nil while nothing is known of any.
func PathOf(p *uapi.Peer) *PathInfo {
	for _, kv := range p.Extra {
		var s PathInfo
		if kv.Key == pathKey && json.Unmarshal([]byte(kv.Value), &s) == nil {
			return &s
		}
	}
	return nil
}

// addPathLines adds what PathOf reads to each peer that is a router, or may be one.
func (e *Engine) addPathLines(d *uapi.Device) error {
	for i := range d.Peers {
		p := &d.Peers[i]
		s, ok := e.bind.PathStatus(peers.Key(p.PublicKey))
		if !ok || s.Router == "no" {
			continue
		}
		line, err := jsonLine(pathKey, e.withTraffic(&s))
		if err != nil {
			return err
		}
		p.Extra = append(p.Extra, line)
	}
	return nil
}

// pingTime bounds a ping: the agent gives up after 5 s.
const pingTime = 7 * time.Second

// errUnknownQuestion is the answer to what nobody here knows.
var errUnknownQuestion = fmt.Errorf("unknown question: %w", errors.ErrUnsupported)

// Ask answers questions of the command line, in JSON.
func (h handler) Ask(name string, args []uapi.KeyValue) ([]byte, error) {
	switch name {
	case "ping":
		key, err := peerArgument(args)
		if err != nil {
			return nil, err
		}
		if h.e.bind.Lookup(key) == nil {
			return nil, &uapi.Error{Errno: uapi.ErrnoInvalid, Err: errors.New("no such peer")}
		}
		ctx, cancel := context.WithTimeout(context.Background(), pingTime)
		defer cancel()
		r, err := h.e.bind.Ping(ctx, key)
		if err != nil {
			return nil, err
		}
		return json.Marshal(&r)
	case "netcheck":
		ctx, cancel := context.WithTimeout(context.Background(), pingTime)
		defer cancel()
		r, err := h.e.bind.NetCheck(ctx)
		if err != nil {
			return nil, err
		}
		return json.Marshal(&r)
	case "log":
		return askLog(h.e.log, args)
	}
	return nil, errUnknownQuestion
}

// askLog changes the levels of the log as each level says, and returns what they are.
func askLog(log *slog.Logger, args []uapi.KeyValue) ([]byte, error) {
	levels := roomlog.Of(log)
	if levels == nil {
		return nil, errUnknownQuestion
	}
	for _, kv := range args {
		if kv.Key != "level" {
			continue
		}
		if err := levels.Change(kv.Value); err != nil {
			return nil, &uapi.Error{Errno: uapi.ErrnoInvalid, Err: err}
		}
	}
	return json.Marshal(map[string]string{"level": levels.Setting().String()})
}

// peerArgument returns the key called peer, in base64 or in hexadecimal.
func peerArgument(args []uapi.KeyValue) (key peers.Key, err error) {
	for _, kv := range args {
		if kv.Key != "peer" {
			continue
		}
		b, err := hex.DecodeString(kv.Value)
		if err != nil {
			b, err = base64.StdEncoding.DecodeString(kv.Value)
		}
		if err != nil || len(b) != len(key) {
			break
		}
		return peers.Key(b), nil
	}
	return key, &uapi.Error{Errno: uapi.ErrnoInvalid, Err: errors.New("no key of a peer")}
}
