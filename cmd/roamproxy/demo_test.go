package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// A short demonstration runs without a terminal, a key and fixed ports, and ends with its conclusion.
func TestDemoEndsWithItsConclusion(t *testing.T) {
	code, out, err := invoke(t, environ{}, "demo", "--part", "5s")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, err)
	}
	sentence := regexp.MustCompile(`(Without|With) roamproxy: +(\d+) answers 429; the bot posted (\d+) of \d+,\s+` +
		`the dashboard refreshed (\d+) of \d+, (\d+) messages were lost\.`)
	found := sentence.FindAllStringSubmatch(out, -1)
	if len(found) != 2 {
		t.Fatalf("there are not two sentences with the figures in\n%s", out)
	}
	var throttled, posted, refreshed, lost [2]int
	for i, f := range found {
		fmt.Sscan(strings.Join(f[2:], " "), &throttled[i], &posted[i], &refreshed[i], &lost[i])
	}
	if throttled[0] == 0 || throttled[1] != 0 || posted[1] == 0 || lost[1] != 0 {
		t.Errorf("429s %v, posted %v, lost %v: want some 429s directly and none with roamproxy, which posts and loses nothing\n%s",
			throttled, posted, lost, out)
	}
	for line := range strings.Lines(out) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 79 {
			t.Errorf("a line has %d columns, want at most 79: %s", n, line)
		}
	}
}

func TestABarShowsASmallValue(t *testing.T) {
	for _, tt := range []struct {
		is, of float64
		want   string
	}{
		{0, 10, "··········"}, {10, 10, "██████████"}, {0.4, 10, "▍·········"}, {1.5, 10, "█▌········"}, {12, 10, "██████████"},
		{-1, 10, "··········"}, {1, 0, "··········"},
	} {
		t.Run(fmt.Sprint(tt.is, " of ", tt.of), func(t *testing.T) {
			if got := bar(10, tt.is, tt.of, paint("32", false)); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
	if got := bar(2, 1, 2, paint("32", true)); got != "\x1b[32m█\x1b[0m·" {
		t.Errorf("in colour: %q", got)
	}
}
