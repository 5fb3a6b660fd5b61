// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// engineModule is the module whose version says which WireGuard this is.
const engineModule = "github.com/tailscale/wireguard-go"

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Long:    "Print the version of the program, of the compiler, and of the WireGuard engine in it.",
		Example: `  router version`,
		Args:    argCount(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(a.out, version())
			return err
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
}

// version describes the program as the compiler recorded it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "router (unknown version)"
	}
	return versionOf(info)
}

// shortVersion is that of the program alone.
func shortVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	return moduleVersion(info)
}

func moduleVersion(info *debug.BuildInfo) string {
	v := info.Main.Version
	if v == "" || v == "(devel)" { // a workspace build has no version, but perhaps a revision
		v = "(devel)" + revision(info)
	}
	return v
}

func versionOf(info *debug.BuildInfo) string {
	v := moduleVersion(info)
	text := fmt.Sprintf("router %s (%s %s/%s)", v, info.GoVersion, runtime.GOOS, runtime.GOARCH)
	for _, dep := range info.Deps {
		if dep.Path == engineModule {
			text += fmt.Sprintf("\nengine %s %s", dep.Path, dep.Version)
		}
	}
	return text
}

// revision is the commit that the program was built from, "" if unknown.
func revision(info *debug.BuildInfo) string {
	text := ""
	for _, s := range info.Settings { // modified comes after revision
		switch {
		case s.Key == "vcs.revision":
			text = " " + s.Value[:min(len(s.Value), 12)]
		case s.Key == "vcs.modified" && s.Value == "true" && text != "":
			text += " with changes"
		}
	}
	return text
}
