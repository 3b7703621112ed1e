package server

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"roamproxy/cache"
	"roamproxy/limiter"
	"roamproxy/metrics"
	"roamproxy/proxy"
	"roamproxy/proxy/webhook"
)

// Headers, metrics, pages, log and documents have one word for one thing. Cache, limiter and metrics do not import each other, so
// their words meet here.
func TestResultsAndOutcomesAreTheSameEverywhere(t *testing.T) {
	results := []string{string(cache.Hit), string(cache.Miss), string(cache.Shared), string(cache.Stale), string(cache.Bypass)}
	if got, want := metrics.Results(), results; !slices.Equal(got, want) {
		t.Errorf("results of the cache are %q in metrics, want %q", got, want)
	}
	if got, want := metrics.Outcomes(), []string{limiter.Sent, limiter.Refused, limiter.Canceled, limiter.Expired}; !slices.Equal(got, want) {
		t.Errorf("outcomes of a wait are %q in metrics, want %q", got, want)
	}
}

func TestRepeatKindsAreTheSameEverywhere(t *testing.T) {
	var want []string
	for _, kind := range proxy.RepeatKinds() {
		want = append(want, string(kind))
	}
	if got := metrics.RepeatKinds(); !slices.Equal(got, want) {
		t.Errorf("kinds of a repeat are %q in metrics, want %q", got, want)
	}
}

func TestWebhookResultsAreTheSameEverywhere(t *testing.T) {
	var want []string
	for _, r := range webhook.Results() {
		want = append(want, string(r))
	}
	if got := metrics.WebhookResults(); !slices.Equal(got, want) {
		t.Errorf("results of a webhook are %q in metrics, want %q", got, want)
	}
}

// Seen to fail with a code that deploy/TOOLS.md did not have.
func TestCodesAreDocumented(t *testing.T) {
	tools, alerts := file(t, "deploy/TOOLS.md"), file(t, "deploy/prometheus/alerts.yaml")
	var shared []string
	for _, r := range reasons() {
		if !strings.Contains(tools, "`"+r.Code+"`") {
			t.Errorf("deploy/TOOLS.md does not say what %s is", r.Code)
		}
		if r.Text == "" || !r.Refusal && r.Limit {
			t.Errorf("the reason %+v is not whole", r)
		}
		if r.Limit && !r.Own {
			shared = append(shared, r.Code)
		}
	}
	if want := `reason=~"` + strings.Join(shared, "|") + `"`; !strings.Contains(alerts, want) {
		t.Errorf("RoamproxyCallsRefused does not look at the limits that tools share: %s", want)
	}
}

// A code is written once, in proxy/codes.go, and is a constant everywhere else.
func TestCodesAreWrittenOnce(t *testing.T) {
	found := make(map[string][]string)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") ||
			strings.Contains(path, "roamtest") {
			return err
		}
		content, err := os.ReadFile(path)
		for _, r := range proxy.Reasons() {
			if code := string(r.Code); strings.Contains(code, "_") && strings.Contains(string(content), `"`+code+`"`) {
				found[code] = append(found[code], path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for code, files := range found {
		if len(files) != 1 {
			t.Errorf("%s is written in %q, want one file", code, files)
		}
	}
}

const root = "../../.."

func file(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
