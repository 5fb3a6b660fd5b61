// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// wgConfig is the key that stands before all sections.
const wgConfig = "WGConfig"

// LoadOptions are what a configuration depends on beside its text. The zero LoadOptions
// are those of [Load] and [Parse].
type LoadOptions struct {
	// LookupEnv returns the value of an environment variable, as [os.LookupEnv] does, for
	// values such as $NAME. Without it such a value is a mistake.
	LookupEnv func(name string) (value string, ok bool)
	// Mode takes the place of [Router] Mode, whatever the file says; nil is none.
	Mode *Mode
}

// topKeys are the keys that stand before all sections.
func topKeys() []key {
	return []key{{name: wgConfig, set: setWGConfig, spaced: true, text: true}}
}

func setWGConfig(e *entry) {
	if e.folder == "" {
		e.unknownSection = true // a PrivateKey may be in there
		e.wrong("write [Interface] and [Peer] here", "other files are not read here")
		return
	}
	e.included, e.includedAs = e.path(e.value), e.value
}

// path returns where a file is that the configuration names: in the folder of the
// configuration, or where the path leads from the working directory when it only exists
// there. Without a folder it is the path itself.
func (p *parser) path(name string) string {
	if p.folder == "" || name == "" || filepath.IsAbs(name) {
		return name
	}
	beside := filepath.Join(p.folder, name)
	if missing(beside) && !missing(name) {
		if abs, err := filepath.Abs(name); err == nil {
			return abs
		}
	}
	return beside
}

// include reads [Interface] and [Peer] from the file of WGConfig.
func (p *parser) include() {
	data, ok := p.readIncluded()
	if !ok {
		return
	}
	p.section, p.skip, p.including = nil, false, true
	p.wgFile = p.included
	p.in(p.wgFile, func() {
		if p.checkText(data) {
			p.text(data)
		} else {
			p.unknownSection = true
		}
	})
	p.including = false
}

// in calls f with problems reported under file.
func (p *parser) in(file string, f func()) {
	defer func(was string) { p.file = was }(p.file)
	p.file = file
	f()
}

func (p *parser) readIncluded() (data []byte, ok bool) {
	failed := func(err error) ([]byte, bool) {
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		p.unknownSection = true // a PrivateKey may be in there
		p.problem(p.topGiven[wgConfig], wgConfig, "write a path relative to the folder of this file, or an absolute one",
			fmt.Sprintf("cannot read %s: %v", show(p.includedAs), err))
		return nil, false
	}
	f, err := os.Open(p.included)
	if err != nil {
		return failed(err)
	}
	defer f.Close()
	data, err = io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return failed(err)
	}
	if w, ok := checkMode(f, p.included, resolved(p.included)); ok {
		p.warnings = append(p.warnings, w)
	}
	return data, true
}
