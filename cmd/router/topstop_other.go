// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

//go:build !linux

package main

import (
	"context"
	"os"
)

func notifyContinued(chan<- os.Signal) {}

func stopSelf(context.Context, <-chan os.Signal) {}
