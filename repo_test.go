// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

// Package tunrouter_test keeps what the layout of the repository promises: one
// package comment per package, the import directions, a root module that can be
// installed by version, the licence line in every file. It reads source text
// only and is called by go test.
package tunrouter_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/tunrouter/tunrouter"

// rooms says which rooms of the project each room may import. A room that is
// missing here fails the test: it needs a place in the house first.
var rooms = map[string][]string{
	"cmd/router":            {"engine", "batching/xdp/check", "config", "uapi", "tunwrap", "peers/path", "internal/hostnet", "internal/roomlog", "internal/sandbox"},
	"engine":                {"config", "uapi", "tunwrap", "tunwrap/filter", "tunwrap/hub", "tunwrap/inner", "netstack", "netstack/proxy", "netstack/resolver", "peers", "peers/disco", "peers/path", "peers/relay", "batching", "batching/xdp", "geneve", "metrics", "metrics/web", "internal/capture", "internal/hostnet", "internal/roomlog", "internal/sys"},
	"config":                {},
	"uapi":                  {"internal/socketfile"},
	"tunwrap":               {"internal/sys"},
	"tunwrap/inner":         {},
	"tunwrap/filter":        {"tunwrap/inner"},
	"tunwrap/hub":           {"tunwrap/inner", "tunwrap/filter"},
	"tunwrap/tuntest":       {},
	"netstack":              {"netstack/resolver"},
	"netstack/resolver":     {},
	"netstack/proxy":        {"netstack", "batching", "geneve", "internal/sys"},
	"peers":                 {"batching", "batching/xdp", "geneve", "peers/disco", "peers/path"},
	"peers/disco":           {"geneve"},
	"peers/path":            {"geneve", "peers/disco"},
	"peers/relay":           {"batching", "geneve", "peers/disco"},
	"batching":              {"geneve", "internal/sys"},
	"batching/xdp":          {"batching", "batching/xdp/frame", "batching/xdp/nexthop", "batching/xdp/redirect", "batching/xdp/xsk", "geneve", "internal/sys"},
	"batching/xdp/check":    {"batching/xdp/redirect", "batching/xdp/xsk"},
	"batching/xdp/redirect": {},
	"batching/xdp/xsk":      {"internal/sys"},
	"batching/xdp/frame":    {"geneve"},
	"batching/xdp/nexthop":  {},
	"geneve":                {},
	"metrics":               {},
	"metrics/web":           {"internal/socketfile"},
	"internal/capture":      {"tunwrap/inner"},
	"internal/hostnet":      {},
	"internal/sandbox":      {"internal/hostnet", "tunwrap"},
	"internal/roomlog":      {},
	"internal/socketfile":   {},
	"internal/sys":          {},
	"internal/testutil":     {"internal/sys"},
}

// confined says where an import from outside may appear at all, and why.
var confined = []struct {
	prefix string
	rooms  []string
	why    string
}{
	{"gvisor.dev/", []string{"netstack"}, "whoever imports the sockets must not compile a TCP/IP stack"},
	{"github.com/prometheus/", []string{"metrics", "cmd/router", "engine"}, "rooms count with plain atomics"},
	{"github.com/spf13/", []string{"cmd/router"}, "the command line has no logic that a library user would miss"},
	{"github.com/vishvananda/netlink", []string{"internal/hostnet", "batching/xdp", "batching/xdp/nexthop", "batching/xdp/check"}, "one room configures the host, the others ask what it has"},
	{"github.com/google/nftables", []string{"internal/hostnet"}, "one room configures the host"},
	{"github.com/cilium/ebpf", []string{"batching/xdp/redirect"}, "one room loads programs into the kernel"},
	{"os/exec", []string{"internal/hostnet", "cmd/router"}, "only hooks, resolvconf and going to the background run programs"},
	{"math/rand", nil, "math/rand/v2 or crypto/rand"},
	{"log", nil, "log/slog"},
}

// unsafeRooms are where unsafe may be imported, in _linux.go files.
var unsafeRooms = []string{"internal/sys"}

type source struct {
	path string // slash separated, from the root
	dir  string
	file *ast.File
	text string
}

// sources parses every Go file of the root module.
func sources(t *testing.T) []source {
	t.Helper()
	var out []source
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || path == "integration") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ParseComments)
		if err != nil {
			return err
		}
		path = filepath.ToSlash(path)
		out = append(out, source{path, filepath.ToSlash(filepath.Dir(path)), file, string(text)})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (s *source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// isTestHelper reports whether the package exists for tests only.
func (s *source) isTestHelper() bool {
	return strings.HasSuffix(s.dir, "test") || s.dir == "internal/testutil"
}

func (s *source) imports(t *testing.T) []string {
	var out []string
	for _, spec := range s.file.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatalf("%s: %v", s.path, err)
		}
		out = append(out, p)
	}
	return out
}

func TestPackageComments(t *testing.T) {
	comments := make(map[string][]string)
	dirs := make(map[string]bool)
	for _, s := range sources(t) {
		if s.isTest() {
			continue
		}
		dirs[s.dir] = true
		if s.file.Doc != nil {
			comments[s.dir] = append(comments[s.dir], s.path)
			want := "Package " + s.file.Name.Name + " "
			if s.file.Name.Name == "main" {
				want = "Command "
			}
			if !strings.HasPrefix(s.file.Doc.Text(), want) {
				t.Errorf("%s: the package comment must begin with %q", s.path, want)
			}
		}
	}
	for dir := range dirs {
		if n := len(comments[dir]); n != 1 {
			t.Errorf("%s: %d package comments, want exactly 1: %v", dir, n, comments[dir])
		}
	}
	for room := range rooms {
		if _, err := os.Stat(room); err == nil && !dirs[room] && !strings.HasSuffix(room, "test") {
			t.Errorf("%s: a room without Go files", room)
		}
	}
}

func TestImportDirections(t *testing.T) {
	for _, s := range sources(t) {
		if s.dir == "." || s.isTest() || s.isTestHelper() {
			continue
		}
		may, ok := rooms[s.dir]
		if !ok {
			t.Errorf("%s: %s is no room of the house; add it to rooms with what it may import", s.path, s.dir)
			continue
		}
		for _, imp := range s.imports(t) {
			if room, ours := strings.CutPrefix(imp, module+"/"); ours && !slices.Contains(may, room) {
				t.Errorf("%s imports %s; %s may import %v only", s.path, room, s.dir, may)
			}
			for _, c := range confined {
				match := imp == strings.TrimSuffix(c.prefix, "/") || strings.HasPrefix(imp, c.prefix) && strings.HasSuffix(c.prefix, "/") ||
					strings.HasPrefix(imp, c.prefix+"/") && strings.Contains(c.prefix, ".")
				if match && !slices.Contains(c.rooms, s.dir) {
					t.Errorf("%s imports %s, allowed in %v: %s", s.path, imp, c.rooms, c.why)
				}
			}
			if imp == "unsafe" && (!slices.Contains(unsafeRooms, s.dir) || !strings.HasSuffix(s.path, "_linux.go")) {
				t.Errorf("%s imports unsafe, allowed in _linux.go files of %v", s.path, unsafeRooms)
			}
		}
	}
}

func TestNoInit(t *testing.T) {
	for _, s := range sources(t) {
		if s.isTest() || s.isTestHelper() {
			continue
		}
		for _, decl := range s.file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: init function; probe when something is opened", s.path)
			}
		}
	}
}

func TestLicenceLines(t *testing.T) {
	const want = "// Copyright (c) 2026 The tunrouter authors\n// SPDX-License-Identifier: MIT\n\n"
	for _, s := range sources(t) {
		if !strings.HasPrefix(s.text, want) {
			t.Errorf("%s: must begin with the two licence lines and a blank one", s.path)
		}
	}
}

func TestModuleFiles(t *testing.T) {
	root := read(t, "go.mod")
	for _, directive := range []string{"replace", "tool"} {
		for line := range strings.Lines(root) {
			if f := strings.Fields(line); len(f) > 0 && f[0] == directive {
				t.Errorf("go.mod: %s directive: it would break go install and burden importers", directive)
			}
		}
	}
	if work := read(t, "go.work"); strings.Contains(work, "replace") || strings.Count(work, "\t") != 2 ||
		!strings.Contains(work, "\t.\n") || !strings.Contains(work, "\t./integration\n") {
		t.Errorf("go.work must use . and ./integration and nothing else, got:\n%s", work)
	}
	if integ := read(t, "integration/go.mod"); !strings.Contains(integ, "replace "+module+" => ../") {
		t.Error("integration/go.mod must replace the root module by ../, to work with GOWORK=off")
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
