// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tunrouter/tunrouter/config"
	"github.com/tunrouter/tunrouter/engine"
	"github.com/tunrouter/tunrouter/uapi"
)

// maxListed is how many peers a message names.
const maxListed = 5

// findPeer returns the peer of a router that is called text, or whose public key is, or
// begins with, text.
func findPeer(cmd *cobra.Command, dir, name, text string) (config.Key, error) {
	if text == "" {
		return config.Key{}, usagef(cmd, "PEER is empty")
	}
	d, err := ask(dir, name)
	if err != nil {
		return config.Key{}, err
	}
	found := peersCalled(d, text)
	if len(found) == 0 {
		found = slices.DeleteFunc(peerKeys(d), func(k config.Key) bool { return !strings.HasPrefix(k.String(), text) })
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		e := &exitError{code: exitUsage, err: fmt.Errorf("no peer of %s is called this or has a public key that begins with it", interfaceName(name)), hint: "it has no peers"}
		if len(d.Peers) > 0 {
			e.hint = "peers: " + listPeers(peerKeys(d))
		}
		return config.Key{}, e
	}
	return config.Key{}, &exitError{code: exitUsage, err: fmt.Errorf("%d peers of %s are called this or have public keys that begin with it, write more of the key", len(found), interfaceName(name)),
		hint: "peers: " + listPeers(found)}
}

// peersCalled returns the peers that people call so, whatever the case of the letters.
func peersCalled(d *uapi.Device, name string) []config.Key {
	var found []config.Key
	for i := range d.Peers {
		if p := &d.Peers[i]; strings.EqualFold(engine.NameOf(p), name) {
			found = append(found, config.Key(p.PublicKey))
		}
	}
	return found
}

func peerKeys(d *uapi.Device) []config.Key {
	keys := make([]config.Key, len(d.Peers))
	for i := range d.Peers {
		keys[i] = config.Key(d.Peers[i].PublicKey)
	}
	return keys
}

// listPeers names the first of keys.
func listPeers(keys []config.Key) string {
	var names []string
	for _, k := range keys[:min(len(keys), maxListed)] {
		names = append(names, k.String())
	}
	if more := len(keys) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// completePeer completes [NAME] PEER: running routers, and the peers of the one that is
// named or alone.
func completePeer(dir *string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 1 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names, _ := uapi.Sockets(*dir) // those that we may ask
		var words []string
		if len(args) == 0 {
			words = names
		}
		if len(args) == 0 && len(names) != 1 {
			return words, cobra.ShellCompDirectiveNoFileComp
		}
		name := append(args, names...)[0]
		if d, err := ask(*dir, name); err == nil {
			for i := range d.Peers {
				p := &d.Peers[i]
				words = append(words, cmp.Or(engine.NameOf(p), config.Key(p.PublicKey).String()))
			}
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}
