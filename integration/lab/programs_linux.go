// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// Programs builds the programs of the lab from source, each once, into one
// directory. It is safe for concurrent use.
type Programs struct {
	// Dir is where the programs go.
	Dir string
	// Race builds the router with the race detector.
	Race bool

	mu    sync.Mutex
	built map[string]*build
}

type build struct {
	once sync.Once
	err  error
}

// Import paths of the programs.
const (
	routerModule    = "github.com/tunrouter/tunrouter"
	routerPackage   = routerModule + "/cmd/router"
	forkPackage     = "github.com/tailscale/wireguard-go"
	upstreamPackage = "golang.zx2c4.com/wireguard"
	debianPath      = "/usr/bin/wireguard-go"
)

// Router returns the path of the router.
func (p *Programs) Router(t T) string {
	t.Helper()
	// In the root module, as it is released.
	dir := p.output(t, "", "go", "list", "-m", "-f", "{{.Dir}}", routerModule)
	args := []string{"-trimpath"}
	if p.Race {
		args = append(args, "-race")
	}
	return p.build(t, "router", strings.TrimSpace(dir), routerPackage, args...)
}

// Fork returns the path of wireguard-go as Tailscale maintains it, at the
// version that the router is built on.
func (p *Programs) Fork(t T) string {
	t.Helper()
	return p.build(t, "wireguard-go-fork", "", forkPackage, "-trimpath")
}

// Upstream returns the path of the WireGuard project's wireguard-go.
func (p *Programs) Upstream(t T) string {
	t.Helper()
	return p.build(t, "wireguard-go-upstream", "", upstreamPackage, "-trimpath")
}

// Debian returns the path of the distribution's wireguard-go; "" when it is not
// installed.
func (p *Programs) Debian() string {
	if !exists(debianPath) {
		return ""
	}
	return debianPath
}

func (p *Programs) build(t T, name, dir, pkg string, args ...string) string {
	t.Helper()
	path := filepath.Join(p.Dir, name)
	p.once(t, name, func() error {
		args := append([]string{"build", "-o", path}, args...)
		return p.run(dir, nil, nil, "go", append(args, pkg)...)
	})
	return path
}

// install builds a program at a version of its module, with the dependencies
// that the module itself names.
func (p *Programs) install(t T, pkg, version string) string {
	t.Helper()
	name := filepath.Base(pkg)
	p.once(t, name, func() error {
		return p.run("", []string{"GOBIN=" + p.Dir}, nil, "go", "install", "-trimpath", pkg+"@"+version)
	})
	return filepath.Join(p.Dir, name)
}

// once makes a program unless it was made or has failed before.
func (p *Programs) once(t T, name string, f func() error) {
	t.Helper()
	p.mu.Lock()
	if p.built == nil {
		p.built = make(map[string]*build)
	}
	b := p.built[name]
	if b == nil {
		b = new(build)
		p.built[name] = b
	}
	p.mu.Unlock()
	b.once.Do(func() { b.err = f() })
	if b.err != nil {
		t.Fatalf("build %s: %v", name, b.err)
	}
}

// output runs a command of the go tool and returns its standard output.
func (p *Programs) output(t T, dir, name string, args ...string) string {
	t.Helper()
	var out strings.Builder
	if err := p.run(dir, nil, &out, name, args...); err != nil {
		t.Fatalf("%v", err)
	}
	return out.String()
}

func (p *Programs) run(dir string, env []string, stdout *strings.Builder, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if stdout != nil {
		cmd.Stdout = stdout
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return nil
}
