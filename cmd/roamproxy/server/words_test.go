package server

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"roamproxy/cache"
	"roamproxy/limiter"
	"roamproxy/metrics"
	"roamproxy/proxy"
	"roamproxy/proxy/webhook"
)

// Headers, metrics, pages, log and documents have one word for one thing. Package metrics does not import those that define the words.
func TestMetricsHaveTheWordsOfTheOtherPackages(t *testing.T) {
	for _, tt := range []struct {
		name      string
		got, want []string
	}{
		{"results of the cache", words(metrics.CacheResults()), words(cache.Results())},
		{"outcomes of a wait", words(metrics.Outcomes()), words(limiter.Outcomes())},
		{"kinds of a repeat", words(metrics.RepeatKinds()), words(proxy.RepeatKinds())},
		{"results of a webhook", words(metrics.WebhookResults()), words(webhook.Results())},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !slices.Equal(tt.got, tt.want) {
				t.Errorf("metrics has %q, want %q", tt.got, tt.want)
			}
		})
	}
}

func words[T ~string](all []T) (words []string) {
	for _, word := range all {
		words = append(words, string(word))
	}
	return words
}

// Rules, alerts and the dashboard select series by these words. A word that does not exist selects nothing, without an error.
func TestRulesAndDashboardSelectByKnownWords(t *testing.T) {
	known := map[string][]string{
		"cache":   words(metrics.CacheResults()),
		"outcome": words(metrics.Outcomes()),
		"kind":    words(metrics.RepeatKinds()),
		"result":  slices.Concat(words(metrics.CacheResults()), words(metrics.WebhookResults())),
	}
	for _, r := range reasons() {
		known["reason"] = append(known["reason"], r.Code)
	}
	selector := regexp.MustCompile(`\b(cache|outcome|kind|result|reason)(?:=~?|!=|!~)\\?"([^"\\]*)`)
	for _, path := range []string{"deploy/prometheus/rules.yaml", "deploy/prometheus/alerts.yaml", "deploy/grafana/roamproxy.json"} {
		t.Run(path, func(t *testing.T) {
			found := selector.FindAllStringSubmatch(file(t, path), -1)
			if len(found) == 0 {
				t.Error("there are no selectors, want some to check")
			}
			for _, match := range found {
				for word := range strings.SplitSeq(match[2], "|") {
					if !slices.Contains(known[match[1]], word) {
						t.Errorf("%s is selected by %q, want one of %q", match[1], word, known[match[1]])
					}
				}
			}
		})
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
