//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const packaged = "../packaging/prometheus/"

// TestAlertRules: Prometheus's own tool reads the packaged alerts, and they fire when
// they shall and only then.
func TestAlertRules(t *testing.T) {
	t.Parallel()
	promtool(t, "check", "rules", packaged+"hostnat.rules.yml")
	promtool(t, "test", "rules", packaged+"hostnat.rules.test.yml")
}

// TestDashboardQueries: it reads each query of the dashboard too.
func TestDashboardQueries(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../packaging/grafana/hostnat.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	var rules strings.Builder
	rules.WriteString("groups: [{name: dashboard, rules: [\n")
	variables := strings.NewReplacer("$instance", ".*", "$__rate_interval", "5m")
	count := 0
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			fmt.Fprintf(&rules, "{record: query_%d, expr: %q},\n", count, variables.Replace(target.Expr))
			count++
		}
	}
	rules.WriteString("]}]\n")
	file := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := promtool(t, "check", "rules", file); count < 15 || !strings.Contains(out, fmt.Sprintf("%d rules found", count)) {
		t.Errorf("%d queries:\n%s", count, out)
	}
}

func promtool(t *testing.T, args ...string) string {
	t.Helper()
	program := "../.tools/promtool"
	if found, err := exec.LookPath("promtool"); err == nil {
		program = found
	} else if !exists(program) {
		need(t, "promtool")
	}
	out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}
