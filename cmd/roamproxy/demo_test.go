package main

import (
	"fmt"
	"strings"
	"testing"
)

// The demonstration, shortened: it must run without a terminal, a key or a free choice of ports, and show what it is about. A busy
// machine is given more time to show it.
func TestDemo(t *testing.T) {
	var problem string
	for _, part := range []string{"4s", "12s"} {
		code, out, err := invoke(t, environ{}, "demo", "--part", part)
		if code != 0 {
			t.Fatalf("exit %d: %s", code, err)
		}
		if problem = notShown(out); problem == "" {
			return
		}
	}
	t.Error(problem)
}

// notShown is what the demonstration did not show, or nothing.
func notShown(out string) (problem string) {
	for _, want := range []string{"1. Each tool calls Roam directly", "2. The same through roamproxy", "Roam saw", "429s that Roam said", "standup-bot: posts"} {
		if !strings.Contains(out, want) {
			return fmt.Sprintf("%q is not in\n%s", want, out)
		}
	}
	for line := range strings.Lines(out) {
		directly, through := 0, 0
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "429s that Roam said"); ok {
			if n, _ := fmt.Sscan(rest, &directly, &through); n != 2 || directly == 0 || through > 0 {
				return fmt.Sprintf("429s directly and through roamproxy: %s, want some and none", rest)
			}
		}
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "standup-bot: posts"); ok {
			if n, _ := fmt.Sscan(rest, &directly, &through); n != 2 || through == 0 {
				return fmt.Sprintf("posts of the calm bot beside a flood, directly and through roamproxy: %s, want some through roamproxy", rest)
			}
		}
	}
	return ""
}
