package verify

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// dashboard is what the rules below look at of deploy/grafana/roamproxy.json.
type dashboard struct {
	UID, Title, Description string
	Editable                bool
	SchemaVersion           int
	Templating              struct{ List []variable }
	Annotations             struct{ List []annotation }
	Panels                  []panel
}

type annotation struct {
	Name, Expr, TitleFormat string
	Enable                  bool
	Datasource              struct{ Type, UID string }
}

type variable struct {
	Name, Label, Type, AllValue string
	Query                       any
	IncludeAll, Multi           bool
	Refresh                     int
	Datasource                  struct{ UID string }
}

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               struct{ Type, UID string }
	GridPos                  struct{ X, Y, W, H int }
	FieldConfig              struct {
		Defaults struct {
			Unit, NoValue string
			Custom        struct{ ThresholdsStyle struct{ Mode string } }
			Thresholds    struct{ Steps []struct{ Value *float64 } }
		}
	}
	Targets []struct {
		RefID, Expr, LegendFormat string
		Datasource                struct{ UID string }
	}
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal([]byte(read(t, "deploy/grafana/roamproxy.json")), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// The rules are the usual ones of Grafana's own dashboard linter, which cannot be had here, and what keeps panels apart.
func TestDashboardFollowsGrafanasRules(t *testing.T) {
	d := readDashboard(t)
	bad := func(format string, args ...any) { t.Errorf(format, args...) }
	if d.UID != "roamproxy" || d.Title == "" || d.Description == "" || d.Editable || d.SchemaVersion < 36 {
		bad("the dashboard: uid %q, title %q, editable %v, schema %d; want the fixed uid, a title and a description, not editable",
			d.UID, d.Title, d.Editable, d.SchemaVersion)
	}
	var names []string
	for _, v := range d.Templating.List {
		names = append(names, v.Name)
		switch {
		case v.Label == "":
			bad("variable %s has no label", v.Name)
		case v.Name == "datasource":
			if v.Type != "datasource" || v.Query != "prometheus" {
				bad("variable datasource is %+v", v)
			}
		case v.Type != "query" || !v.IncludeAll || !v.Multi || v.AllValue != ".+" || v.Refresh != 2 || v.Datasource.UID != "${datasource}":
			bad("variable %s is %+v; want a query of ${datasource} with All as .+, asked again when the time changes", v.Name, v)
		}
	}
	if want := []string{"datasource", "job", "instance", "quota", "tool"}; !slices.Equal(names, want) {
		bad("variables %v, want %v", names, want)
	}
	ids, titles := map[int]bool{}, map[string]bool{}
	for i, p := range d.Panels {
		if ids[p.ID] || titles[p.Title] || p.ID == 0 || p.Title == "" {
			bad("panel %q, id %d: want both, and each once", p.Title, p.ID)
		}
		ids[p.ID], titles[p.Title] = true, true
		for _, q := range d.Panels[:i] {
			a, b := p.GridPos, q.GridPos
			if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				bad("panels %q and %q are one over the other", p.Title, q.Title)
			}
		}
		if p.GridPos.X+p.GridPos.W > 24 {
			bad("panel %q is wider than the screen", p.Title)
		}
		if p.Type != "row" {
			lintPanel(t, p)
		}
	}
}

var (
	counters  = regexp.MustCompile(`_(total|bucket|count|sum)$`)
	selectors = regexp.MustCompile(`([a-z_]+)\{([^}]*)\}`)
	ranges    = regexp.MustCompile(`\[([^\]]*)\]`)
)

func lintPanel(t *testing.T, p panel) {
	t.Helper()
	defaults := p.FieldConfig.Defaults
	if p.Description == "" || defaults.Unit == "" || defaults.NoValue == "" || len(p.Targets) == 0 ||
		p.Datasource.Type != "prometheus" || p.Datasource.UID != "${datasource}" {
		t.Errorf("panel %q: description %q, unit %q, no value %q, data source %+v, %d queries; want all",
			p.Title, p.Description, defaults.Unit, defaults.NoValue, p.Datasource, len(p.Targets))
	}
	for i, target := range p.Targets {
		where := fmt.Sprintf("panel %q, query %s", p.Title, target.RefID)
		if target.RefID != string(rune('A'+i)) || target.LegendFormat == "" || target.Datasource.UID != "${datasource}" {
			t.Errorf("%s: legend %q, data source %q", where, target.LegendFormat, target.Datasource.UID)
		}
		found := selectors.FindAllStringSubmatch(target.Expr, -1)
		if len(found) == 0 {
			t.Errorf("%s asks for nothing: %s", where, target.Expr)
		}
		for _, s := range found {
			name, matchers := s[1], s[2]
			if !strings.Contains(matchers, `job=~"$job"`) || !strings.Contains(matchers, `instance=~"$instance"`) {
				t.Errorf("%s: %s is not of the chosen job and instance", where, name)
			}
			counted := counters.MatchString(name)
			if rated := regexp.MustCompile(`(rate|increase)\(` + regexp.QuoteMeta(s[0]) + `\[`).MatchString(target.Expr); counted != rated {
				t.Errorf("%s: %s: counters, and they alone, are asked for their rate: %s", where, name, target.Expr)
			}
		}
		for _, r := range ranges.FindAllStringSubmatch(target.Expr, -1) {
			if r[1] != "$__rate_interval" {
				t.Errorf("%s: the range is %s, want $__rate_interval, which suits every scrape interval", where, r[1])
			}
		}
		if strings.Contains(target.Expr, "histogram_quantile") && !strings.Contains(target.Expr, "by (le") {
			t.Errorf("%s: a quantile without le", where)
		}
	}
}

// Pauses, reloads and restarts are marked in every panel.
func TestDashboardAnnotatesPausesReloadsAndRestarts(t *testing.T) {
	var names []string
	for _, a := range readDashboard(t).Annotations.List {
		if a.Datasource.Type != "prometheus" {
			continue
		}
		names = append(names, a.Name)
		if !a.Enable || a.TitleFormat == "" || a.Datasource.UID != "${datasource}" ||
			!strings.Contains(a.Expr, `job=~"$job", instance=~"$instance"`) {
			t.Errorf("annotation %+v; want one that is shown, of the chosen job and instance", a)
		}
	}
	if want := []string{"Pauses", "Reloads", "Failed reloads", "Restarts"}; !slices.Equal(names, want) {
		t.Errorf("annotations %v, want %v", names, want)
	}
}

// What is agreed is a line in the panel that shows how it is kept: 10 s in the queue, 80 % of a daily budget.
func TestPanelsShowTheAgreedLimits(t *testing.T) {
	want := map[string]float64{
		"Oldest call, and how full the queue is": 10, "Wait in the queue": 10, "Wait by tool, p95": 10, "Calls of the day by tool": .8,
	}
	for _, p := range readDashboard(t).Panels {
		d := p.FieldConfig.Defaults
		agreed, ok := want[p.Title]
		if !ok {
			continue
		}
		delete(want, p.Title)
		steps := d.Thresholds.Steps
		if d.Custom.ThresholdsStyle.Mode != "dashed" || len(steps) < 2 || steps[1].Value == nil || *steps[1].Value != agreed {
			t.Errorf("panel %q: %+v, want a dashed line at %v", p.Title, d, agreed)
		}
	}
	if len(want) > 0 {
		t.Errorf("there are no panels %v", want)
	}
}

// What dashboard, rules, alerts and OPERATING.md ask for is what is exposed.
func TestDashboardAndAlertsUseExistingMetrics(t *testing.T) {
	exposed := "\n" + read(t, "metrics/testdata/exposition.txt")
	var asked []string
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			asked = append(asked, target.Expr)
		}
	}
	for _, a := range readDashboard(t).Annotations.List {
		asked = append(asked, a.Expr)
	}
	for _, file := range []string{"rules.yaml", "runbook.yaml", "alerts.yaml"} {
		asked = append(asked, read(t, "deploy/prometheus/"+file))
	}
	asked = append(asked, read(t, "deploy/OPERATING.md"))
	all := strings.Join(asked, "\n")
	for _, name := range regexp.MustCompile(`[a-z_:]*roamproxy_[a-z_:]+[a-z0-9]*`).FindAllString(all, -1) {
		if !strings.Contains(exposed, "\n"+name) && !strings.Contains(all, "record: "+name) {
			t.Errorf("%s is asked for, and neither exposed nor recorded", name)
		}
	}
}
