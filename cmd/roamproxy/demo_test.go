package main

import (
	"fmt"
	"strings"
	"testing"
)

// The demonstration, shortened: it must run without a terminal, a key or a free choice of ports, and show what it is about.
func TestDemo(t *testing.T) {
	code, out, err := invoke(t, environ{}, "demo", "--part", "4s")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, err)
	}
	for _, want := range []string{"1. Each tool calls Roam directly", "2. The same through roamproxy", "Roam saw", "429s that Roam said"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	for line := range strings.Lines(out) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "429s that Roam said"); ok {
			directly, through := 0, -1
			fmt.Sscan(rest, &directly, &through)
			if directly < 1 || through < 0 || through > 1 { // one where the machine stands still for longer than a network would
				t.Errorf("429s directly and through roamproxy: %s, want some and none", rest)
			}
		}
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "standup-bot: posts"); ok {
			if f := strings.Fields(rest); len(f) != 2 || f[1] == "0" {
				t.Errorf("posts of the calm bot beside a flood, directly and through roamproxy: %q, want some through roamproxy", f)
			}
		}
	}
}
