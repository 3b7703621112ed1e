package e2e

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server/servertest"
	"roamproxy/proxy/roamtest"
	"roamproxy/proxy/roamtest/redistest"
)

// prometheus starts a real one that scrapes a roamproxy each second, with the rules of deploy/prometheus. It returns its address.
func prometheus(t *testing.T, target string) string {
	t.Helper()
	program := redistest.Program(t, "prometheus")
	rules, err := filepath.Abs("../../../deploy/prometheus")
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "prometheus.yaml")
	os.WriteFile(config, fmt.Appendf(nil, `
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: ["%[1]s/rules.yaml", "%[1]s/runbook.yaml", "%[1]s/alerts.yaml"]
scrape_configs: [{job_name: roamproxy, static_configs: [{targets: ["%[2]s"]}]}]
`, rules, target), 0o600)
	cmd := exec.Command(program, "--config.file="+config, "--storage.tsdb.path="+t.TempDir(), "--web.listen-address=127.0.0.1:0")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	listens := regexp.MustCompile(`"?Listening on"? address=(\S+)`)
	var said strings.Builder
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		fmt.Fprintln(&said, lines.Text())
		if m := listens.FindStringSubmatch(lines.Text()); m != nil {
			go io.Copy(io.Discard, stderr)
			return "http://" + m[1]
		}
	}
	t.Fatalf("prometheus did not start:\n%s", &said)
	return ""
}

// query returns how many series Prometheus answers, or the problem.
func query(t *testing.T, c *http.Client, base, expr string) (series int, problem string) {
	t.Helper()
	_, body := get(t, c, base+"/api/v1/query?query="+url.QueryEscape(expr))
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Status != "success" {
		return 0, fmt.Sprint(err, answer.Error)
	}
	for _, r := range answer.Data.Result {
		if r.Value[1] != "NaN" { // a quantile of nothing
			series++
		}
	}
	return series, ""
}

// A real Prometheus scrapes a real roamproxy whose tools call, wait, are refused and are paused. In the end every query of the dashboard
// has an answer.
func TestEveryPanelHasData(t *testing.T) {
	t.Parallel() // it waits most of the time
	content, err := os.ReadFile("../../../deploy/grafana/roamproxy.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Annotations struct{ List []struct{ Name, Expr string } }
		Panels      []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(content, &dashboard); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$__rate_interval", "20s", "$job", ".+", "$instance", ".+", "$quota", ".+", "$tool", ".+")
	open := make(map[string]string) // queries without an answer so far, by panel
	for _, p := range dashboard.Panels {
		for i, target := range p.Targets {
			open[fmt.Sprintf("%s %c", p.Title, 'A'+i)] = variables.Replace(target.Expr)
		}
	}
	for _, a := range dashboard.Annotations.List {
		if a.Expr != "" {
			open["annotation "+a.Name] = variables.Replace(a.Expr)
		}
	}
	for name, part := range map[string]string{"In order D": "roamproxy_redis_up", "annotation Failed reloads": "last_reload_successful"} {
		if !strings.Contains(open[name], part) {
			t.Errorf("query %s is %q, want the one of %s, which has no answer here: there is no Redis, and no reload fails", name, open[name], part)
		}
		delete(open, name)
	}
	if len(open) < 40 {
		t.Fatalf("%d queries were found in the dashboard; want all", len(open))
	}
	r, roam := servertest.Start(t, roamtest.Options{Rate: 5, Latency: 20 * time.Millisecond}, io.Discard, func(c *config.Config) {
		c.Quotas[0].Rate = 5
		for _, name := range []string{"exporter", "dashboard", "impatient", "standup-bot"} {
			sum := sha256.Sum256([]byte(name))
			c.Tools = append(c.Tools, config.Tool{Name: name, TokenSHA256: []string{hex.EncodeToString(sum[:])}, Weight: 1, CallsPerDay: 10_000})
		}
	})
	base := prometheus(t, r.AdminAddr)
	traffic, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	startTraffic(traffic, t, "http://"+r.Addr)
	c := client(t)
	problems := make(map[string]string)
	scraped := false
	for deadline := time.Now().Add(time.Minute); len(open) > 0 && time.Now().Before(deadline); <-time.After(time.Second) {
		for name, expr := range open {
			series, problem := query(t, c, base, expr)
			if problems[name] = problem; series > 0 {
				delete(open, name)
			}
		}
		if _, empty := open["Ready A"]; !empty && !scraped {
			scraped = true
			roam.Script(roamtest.Throttle("1")) // not before: a counter that begins with a pause does not increase
		}
	}
	for name, expr := range open {
		t.Errorf("panel %s has no data: %s\n%s", name, expr, problems[name])
	}
	for _, recorded := range []string{"quota:roamproxy_quota_used:ratio_rate5m", "quota_tool:roamproxy_calls_sent:share30m",
		"job:roamproxy_cache_saved:ratio_rate1h", "quota_tool:roamproxy_calls_late_in_share:ratio_rate3d", "roamproxy_runbook_info"} {
		if series, problem := query(t, c, base, recorded); series == 0 {
			t.Errorf("%s is not recorded: %s", recorded, problem)
		}
	}
	if _, body := get(t, c, base+"/api/v1/rules"); strings.Contains(body, `"health":"err"`) {
		t.Errorf("a rule fails: %s", body)
	}
}
