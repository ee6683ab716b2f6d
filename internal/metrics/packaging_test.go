package metrics

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

// TestPackagedNamesAreMetrics: Grafana and Prometheus take a metric that does not exist
// for one without values, so the dashboard and the alerts are held to what is written.
func TestPackagedNamesAreMetrics(t *testing.T) {
	t.Parallel()
	var have []string
	for _, f := range families(full()) {
		have = append(have, f.GetName())
		if f.GetType() == dto.MetricType_HISTOGRAM {
			have = append(have, f.GetName()+"_bucket", f.GetName()+"_sum", f.GetName()+"_count")
		}
	}
	const rules, dashboard = "../../packaging/prometheus/hostnat.rules.yml", "../../packaging/grafana/hostnat.json"
	named := regexp.MustCompile(`\bhostnat_[a-z0-9_]+`)
	for _, path := range []string{rules, "../../packaging/prometheus/hostnat.rules.test.yml", dashboard} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		names := named.FindAllString(string(text), -1)
		if len(names) < 5 {
			t.Errorf("%s names %v", path, names)
		}
		for _, name := range names {
			if !slices.Contains(have, name) {
				t.Errorf("%s names %s, which is no metric", path, name)
			}
		}
	}
}

// TestDashboardAsksItsDataSource: it can be imported where Prometheus has any name.
func TestDashboardAsksItsDataSource(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../packaging/grafana/hostnat.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Title  string
		Panels []struct {
			ID         int
			Title      string
			DataSource struct{ Type, UID string }
			Targets    []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Name, Type, Query any }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	if d.Title == "" || len(d.Panels) < 10 || len(d.Templating.List) == 0 || d.Templating.List[0].Name != "datasource" || d.Templating.List[0].Type != "datasource" {
		t.Errorf("title %q, %d panels, variables %+v", d.Title, len(d.Panels), d.Templating.List)
	}
	seen := make(map[int]bool)
	for _, p := range d.Panels {
		if p.DataSource.UID != "${datasource}" || len(p.Targets) == 0 || p.Targets[0].Expr == "" || seen[p.ID] {
			t.Errorf("panel %d, %s: data source %+v, %d targets", p.ID, p.Title, p.DataSource, len(p.Targets))
		}
		seen[p.ID] = true
	}
}
