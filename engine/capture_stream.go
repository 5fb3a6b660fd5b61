// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/tunrouter/tunrouter/uapi"
)

var _ uapi.Streamer = handler{}

// Stream implements [uapi.Streamer]: the stream called capture is what [Engine.Capture]
// writes, with the fields of [CaptureOptions] as arguments, and its answer a
// [CaptureStats].
func (h handler) Stream(ctx context.Context, name string, args []uapi.KeyValue, w io.Writer) ([]byte, error) {
	if name != "capture" {
		return nil, errUnknownQuestion
	}
	o, err := captureArguments(args)
	if err != nil {
		return nil, &uapi.Error{Errno: uapi.ErrnoInvalid, Err: err}
	}
	stats, err := h.e.Capture(ctx, w, o)
	if err != nil {
		return nil, err
	}
	return json.Marshal(&stats)
}

func captureArguments(args []uapi.KeyValue) (*CaptureOptions, error) {
	o := &CaptureOptions{}
	for _, a := range args {
		var err error
		switch a.Key {
		case "inner":
			o.Inner, err = strconv.ParseBool(a.Value)
		case "outer":
			o.Outer, err = strconv.ParseBool(a.Value)
		case "filter":
			o.Filter = a.Value
		case "snaplen":
			o.SnapLen, err = strconv.Atoi(a.Value)
		case "count":
			o.Count, err = strconv.ParseUint(a.Value, 10, 64)
		default:
			return nil, fmt.Errorf("capture: unknown argument %s", a.Key)
		}
		if err != nil {
			return nil, fmt.Errorf("capture: %s: %w", a.Key, err)
		}
	}
	return o, nil
}
