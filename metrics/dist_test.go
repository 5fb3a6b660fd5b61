// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package metrics_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/tunrouter/tunrouter/internal/testutil"
	"github.com/tunrouter/tunrouter/metrics"
)

const (
	dashboardFile = "../dist/grafana/router.json"
	alertsFolder  = "../dist/prometheus"
)

// A dashboard is what tests read of Grafana's format.
type dashboard struct {
	Title      string
	UID        string
	Templating struct {
		List []struct{ Name, Definition string }
	}
	Panels []struct {
		ID      int
		Title   string
		Type    string
		GridPos struct{ H, W, X, Y int }
		Targets []struct{ RefID, Expr string }
	}
}

func readDashboard(t *testing.T) (d dashboard, exprs []string) {
	t.Helper()
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			exprs = append(exprs, target.Expr)
		}
	}
	if len(exprs) == 0 {
		t.Fatal("the dashboard shows nothing")
	}
	return d, exprs
}

// used finds names of metrics in expressions, with the labels that they are asked for.
var used = regexp.MustCompile(`\b((?:router|wireguard)_[a-z0-9_]+)(?:\{([^}]*)\})?`)

// labelUsed finds names of labels in a selector.
var labelUsed = regexp.MustCompile(`([a-z_]+)(?:=~|!~|!=|=)`)

// check reports what an expression asks for and is not there.
func check(t *testing.T, where, expr string) (found int) {
	t.Helper()
	labels := make(map[string]map[string]bool)
	for _, f := range metrics.Families() {
		of := map[string]bool{"instance": true, "job": true, "le": f.Kind == "histogram"}
		for _, l := range f.Labels {
			of[l] = true
		}
		labels[f.Name] = of
		if f.Kind == "histogram" {
			for _, s := range []string{"_bucket", "_sum", "_count"} {
				labels[f.Name+s] = of
			}
		}
	}
	for _, m := range used.FindAllStringSubmatch(expr, -1) {
		of, ok := labels[m[1]]
		if !ok {
			t.Errorf("%s asks for %s, which does not exist", where, m[1])
			continue
		}
		found++
		for _, l := range labelUsed.FindAllStringSubmatch(m[2], -1) {
			if !of[l[1]] {
				t.Errorf("%s asks for %s with %s, which it has not", where, m[1], l[1])
			}
		}
	}
	return found
}

// The dashboard asks for what there is, and its panels do not overlap.
func TestDashboard(t *testing.T) {
	d, exprs := readDashboard(t)
	for _, expr := range exprs {
		if !strings.Contains(expr, "process_") && !strings.Contains(expr, "go_") && check(t, "the dashboard", expr) == 0 {
			t.Errorf("%s asks for nothing of the router", expr)
		}
	}
	for _, v := range d.Templating.List {
		check(t, "variable "+v.Name, v.Definition)
	}
	ids := make(map[int]bool)
	taken := make(map[[2]int]string)
	for _, p := range d.Panels {
		if p.ID == 0 || ids[p.ID] || p.Title == "" {
			t.Errorf("panel %q has id %d, which is none or another panel's", p.Title, p.ID)
		}
		ids[p.ID] = true
		if p.GridPos.X+p.GridPos.W > 24 || p.GridPos.W <= 0 || p.GridPos.H <= 0 {
			t.Errorf("panel %q is at %+v", p.Title, p.GridPos)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other, ok := taken[at]; ok {
					t.Fatalf("panels %q and %q overlap", p.Title, other)
				}
				taken[at] = p.Title
			}
		}
		refs := make(map[string]bool)
		for _, target := range p.Targets {
			if refs[target.RefID] {
				t.Errorf("panel %q has two queries %s", p.Title, target.RefID)
			}
			refs[target.RefID] = true
		}
	}
}

// The rules ask for what there is.
func TestAlerts(t *testing.T) {
	for _, name := range []string{"alerts.yml", "alerts_test.yml"} {
		text, err := os.ReadFile(filepath.Join(alertsFolder, name))
		if err != nil {
			t.Fatal(err)
		}
		if check(t, name, string(text)) == 0 {
			t.Errorf("%s asks for nothing", name)
		}
	}
}

// promtool runs the tool in a folder and wants success.
func promtool(t *testing.T, folder string, args ...string) {
	t.Helper()
	testutil.NeedTool(t, "promtool")
	cmd := exec.CommandContext(t.Context(), "promtool", args...)
	cmd.Dir = folder
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %v: %v\n%s", args, err, out)
	}
}

// Prometheus takes the rules, and they do what their tests say.
func TestPromtoolAlerts(t *testing.T) {
	promtool(t, alertsFolder, "check", "rules", "--lint=all", "--lint-fatal", "alerts.yml")
	promtool(t, alertsFolder, "test", "rules", "alerts_test.yml")
}

// Prometheus can read each query of the dashboard, with its variables filled in.
func TestPromtoolDashboard(t *testing.T) {
	_, exprs := readDashboard(t)
	fill := strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*", "$device", ".*")
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	for i, expr := range exprs {
		rules.WriteString("  - record: query:" + strconv.Itoa(i) + "\n    expr: " + strconv.Quote(fill.Replace(expr)) + "\n")
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "queries.yml"), []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, folder, "check", "rules", "queries.yml")
}
