package verify

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

func promtool(t *testing.T, stdin string, args ...string) {
	t.Helper()
	cmd := exec.Command(program(t, "promtool"), args...)
	cmd.Stdin = strings.NewReader(stdin)
	run(t, cmd)
}

func TestPromtoolAcceptsTheMetrics(t *testing.T) {
	promtool(t, read(t, "metrics/testdata/exposition.txt"), "check", "metrics")
}

// Seen to fail with a key that Prometheus does not know, and with a rate of no range in a rule.
func TestPromtoolAcceptsRulesAndConfiguration(t *testing.T) {
	promtool(t, "", "check", "config", "--lint=all", "--lint-fatal", "../prometheus/prometheus.yaml")
}

// Each alert fires where it should and is quiet where it should be: the cases are in deploy/prometheus/tests.
func TestAlertsFire(t *testing.T) {
	for _, file := range ruleTests(t) {
		t.Run(filepath.Base(file), func(t *testing.T) { promtool(t, "", "test", "rules", file) })
	}
}

// ruleTests returns the files of cases for promtool.
func ruleTests(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../prometheus/tests/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	return files
}

type alert struct {
	Alert, Expr string
	Labels      struct{ Severity string }
	Annotations struct {
		Summary, Description string
		Runbook              string `yaml:"runbook_url"`
	}
}

// Names, severities and words are as the mixins have them; every alert has a case that fires, one that does not, and a place in
// OPERATING.md that says what to do.
func TestAlertsSayWhatToDo(t *testing.T) {
	var file struct{ Groups []struct{ Rules []alert } }
	if err := yaml.Unmarshal([]byte(read(t, "deploy/prometheus/alerts.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	operating := read(t, "deploy/OPERATING.md")
	var cases strings.Builder
	for _, name := range ruleTests(t) {
		cases.WriteString(read(t, "deploy/verify/"+name))
	}
	for _, g := range file.Groups {
		for _, a := range g.Rules {
			if !regexp.MustCompile(`^Roamproxy([A-Z][a-z0-9]+)+$`).MatchString(a.Alert) {
				t.Errorf("%s is not in CamelCase after Roamproxy", a.Alert)
			}
			if s := a.Labels.Severity; s != "critical" && s != "warning" && s != "info" {
				t.Errorf("%s has severity %q", a.Alert, s)
			}
			summary, description := a.Annotations.Summary, a.Annotations.Description
			if !strings.HasSuffix(summary, ".") || strings.Contains(summary, "{{") || !strings.Contains(description, "{{") {
				t.Errorf("%s: summary %q, description %q; want a sentence without figures, and one with", a.Alert, summary, description)
			}
			if !strings.HasSuffix(a.Annotations.Runbook, "#"+strings.ToLower(a.Alert)) || !strings.Contains(operating, "\n### "+a.Alert+"\n") {
				t.Errorf("%s: runbook %q, want its anchor, and its heading in OPERATING.md", a.Alert, a.Annotations.Runbook)
			}
			block := regexp.MustCompile(`alertname: `+a.Alert+`\n +exp_alerts:(.*)`).FindAllStringSubmatch(cases.String(), -1)
			fires, quiet := false, false
			for _, b := range block {
				fires, quiet = fires || b[1] == "", quiet || b[1] == " []"
			}
			if !fires || !quiet {
				t.Errorf("%s: a case that fires: %v, one that does not: %v; want both", a.Alert, fires, quiet)
			}
		}
	}
}
