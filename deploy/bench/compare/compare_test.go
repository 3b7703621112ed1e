package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"roamproxy/proxy/roamtest/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tiny returns the options of a quick comparison. Without bottleneck its rows are left out; where CI is set the test fails instead.
func tiny(t *testing.T) options {
	redistest.Program(t, "nginx")
	o := options{programs: allPrograms(), speed: 10, flood: 12, messages: 1, dir: t.TempDir()}
	if out, err := exec.Command(redistest.Program(t, "node"), "-e", "require('bottleneck')").CombinedOutput(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("bottleneck is not here: %s", out)
		}
		t.Log("left out: bottleneck is not here (to run it: make node-modules, and NODE_PATH as the Makefile has it)")
		o.programs = slices.DeleteFunc(o.programs, func(p program) bool { return p.bottleneck })
	}
	o.binary = filepath.Join(o.dir, "roamproxy")
	args := []string{"build", "-o", o.binary}
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		args = append(args, "-race") // what the other tests have compiled already
	}
	if err := command(t.Context(), "go", append(args, "roamproxy/cmd/roamproxy")...); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(o.dir, "tool.js"), toolScript, 0o600); err != nil {
		t.Fatal(err)
	}
	return o
}

// askedFor returns how many calls the tools of a job ask for, by the table of make jobs.
func askedFor(t *testing.T, job string) string {
	t.Helper()
	for line := range strings.Lines(readFile("../../../proxy/testdata/jobs.txt")) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[0] == job {
			return fields[2]
		}
	}
	t.Fatalf("make jobs has no %s", job)
	return ""
}

// One small job, a small flood and each fault once, with every program, as the command runs them.
func TestEveryProgramIsCompared(t *testing.T) {
	o := tiny(t)
	all := allJobs()
	scim, theFlood, theFaults := all[3], all[5], all[6]
	measured, err := measureAll(t.Context(), o, []job{scim, theFlood, theFaults})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range o.programs {
		if !p.idempotent {
			if got, want := measured.medianOf(scim.name, p.name, asked), askedFor(t, scim.name); got != want {
				t.Errorf("with %s %s calls were asked for, want %s as in make jobs", p.name, got, want)
			}
			if got := measured.medianOf(theFlood.name, p.name, asked); got != "22" {
				t.Errorf("with %s %s calls were asked for, want 12 of the flood and 10 of the calm tool", p.name, got)
			}
		}
		// Those executed before the fault; after a stall also others.
		got, least, most := measured.measured(theFaults.name, p.name, twice)[0], 4.0, 6.0
		switch p.name {
		case roamproxy:
			least, most = 0, 1 // a 502 of Roam's own is an answer
		case roamproxyWithKey:
			least, most = 0, 0
		}
		if got < least || got > most {
			t.Errorf("with %s %v writes were executed twice, want %v to %v", p.name, got, least, most)
		}
	}
}

// figures returns results of one job, of which each program has as many rounds as figures.
func figures(job, measure string, of map[string][]float64) (all results) {
	for program, rounds := range of {
		for _, f := range rounds {
			all = append(all, result{job, program, map[string]float64{measure: f}})
		}
	}
	return all
}

func TestTablesHaveMediansAndLosses(t *testing.T) {
	all := figures(flood, calmWait, map[string][]float64{roamproxy: {9, 2.04, 3}, "nginx": {2, 3, 180}, "plain client": {1, 2.5}})
	text := all.tables([]job{{flood, 2}})
	for _, want := range []string{
		"| flood | roamproxy | 0 | 0 | 0 | 3 (2–9) |\n| flood | nginx | 0 | 0 | 0 | 3 (2–180) |\n",
		"Where another is better:\n\n* flood, calm tool's longest wait: 1.8 with plain client, 3 with roamproxy\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	text = figures(flood, took, map[string][]float64{roamproxy: {1}, "nginx": {1}}).losses(allJobs())
	if !strings.Contains(text, "No other") {
		t.Errorf("equal figures are a loss: %s", text)
	}
}

func TestTheDocumentsHaveAPlaceForTheTables(t *testing.T) {
	for _, path := range []string{"../../../README.md", "../README.md"} {
		document := readFile(path)
		copied := filepath.Join(t.TempDir(), "README.md")
		if err := os.WriteFile(copied, []byte(document), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := replace(copied, "the tables\n"); err != nil {
			t.Error(err)
		}
		if got := readFile(copied); !strings.Contains(got, "\n<!-- compare -->\nthe tables\n<!-- /compare -->\n") || len(got) > len(document) {
			t.Errorf("%s: got %s", path, got)
		}
	}
	if err := replace(filepath.Join(t.TempDir(), "README.md"), ""); err == nil {
		t.Error("no document: no error")
	}
}

func TestMistakesInTheArguments(t *testing.T) {
	for _, args := range [][]string{
		{"-speed", "3"}, {"-speed", "0"}, {"-rounds", "0"}, {"-flood", "0"}, {"-jobs", "stand-up,sitdown"}, {"-unknown"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			if err := run(t.Context(), args, new(bytes.Buffer), new(bytes.Buffer)); err == nil {
				t.Error("no error")
			}
		})
	}
}
