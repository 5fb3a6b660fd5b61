// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/tunrouter/tunrouter/config"
)

// maxKeyInput is as much as pubkey reads: a key of 44 characters, and white
// space around it.
const maxKeyInput = 256

func (a *app) genkeyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "genkey",
		Short: "Print a new private key",
		Long:  `Print a new private key, as "wg genkey" does.`,
		Example: `  router genkey > private.key
  router genkey | tee private.key | router pubkey > public.key`,
		Args:              argCount(0, 0, "no arguments"),
		RunE:              func(*cobra.Command, []string) error { return a.printNewKey(config.GenerateKey()) },
		ValidArgsFunction: cobra.NoFileCompletions,
	}
}

func (a *app) genpskCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "genpsk",
		Short:             "Print a new preshared key",
		Long:              `Print a new preshared key, as "wg genpsk" does.`,
		Example:           `  router genpsk > preshared.key`,
		Args:              argCount(0, 0, "no arguments"),
		RunE:              func(*cobra.Command, []string) error { return a.printNewKey(config.GeneratePresharedKey()) },
		ValidArgsFunction: cobra.NoFileCompletions,
	}
}

func (a *app) pubkeyCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "pubkey",
		Short:             "Print the public key of a private key",
		Long:              `Read a private key from stdin and print its public key, as "wg pubkey" does.`,
		Example:           `  router pubkey < private.key > public.key`,
		Args:              argCount(0, 0, "no arguments"),
		RunE:              func(*cobra.Command, []string) error { return a.printPublicKey() },
		ValidArgsFunction: cobra.NoFileCompletions,
	}
}

// printNewKey prints a secret, and warns when it goes to a file that everybody
// may read.
func (a *app) printNewKey(k config.Key, err error) error {
	if err != nil {
		return fmt.Errorf("generate key: %w", err)
	}
	if f, ok := a.out.(interface{ Stat() (fs.FileInfo, error) }); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o007 != 0 {
			fmt.Fprintln(a.err, `router: warning: everybody may read the file that the key goes to; use "umask 077"`)
		}
	}
	_, err = fmt.Fprintln(a.out, k)
	return err
}

func (a *app) printPublicKey() error {
	text, err := io.ReadAll(io.LimitReader(a.in, maxKeyInput))
	if err != nil {
		return fmt.Errorf("read private key: %w", err)
	}
	k, err := config.ParseKey(string(bytes.TrimSpace(text)))
	if err != nil {
		return &exitError{code: exitUsage, err: fmt.Errorf("private key on stdin: %w", err), hint: `"router genkey" makes one`}
	}
	_, err = fmt.Fprintln(a.out, k.Public())
	return err
}
