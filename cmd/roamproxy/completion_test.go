package main

import (
	"os/exec"
	"strings"
	"testing"
)

func TestManPageAndCompletionHaveEveryCommand(t *testing.T) {
	_, help, _ := invoke(t, nil, "--help")
	for _, args := range [][]string{{"man"}, {"completion", "bash"}, {"completion", "zsh"}, {"completion", "fish"}} {
		code, out, _ := invoke(t, nil, args...)
		for _, want := range []string{"serve", "demo", "simulate", "check", "token", "health", "version", "completion", "man"} {
			if code != 0 || !strings.Contains(out, want) || !strings.Contains(help, want) {
				t.Errorf("%v: exit %d, and %s is not there", args, code, want)
			}
		}
		if plain := strings.ReplaceAll(out, `\`, ""); !strings.Contains(plain, "upstream-url") || !strings.Contains(plain, "connect") {
			t.Errorf("%v names no flags", args)
		}
	}
	if code, _, err := invoke(t, nil, "completion", "tcsh"); code != exitUsage || !strings.Contains(err, "bash") {
		t.Errorf("completion for tcsh: exit %d, %s", code, err)
	}
}

func TestBashCompletes(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal(err) // the checks themselves are written in it
	}
	_, script, _ := invoke(t, nil, "completion", "bash")
	for typed, want := range map[string]string{
		"roamproxy ser": "serve", "roamproxy check --con": "--config --connect", "roamproxy completion b": "bash", "roamproxy version --": "",
	} {
		words := strings.Fields(typed)
		out, err := exec.Command(bash, "-c", script+"\nCOMP_WORDS=("+typed+"); COMP_CWORD="+string(rune('0'+len(words)-1))+"; _roamproxy; echo ${COMPREPLY[*]}").
			Output()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("after %q there is %q (%v), want %q", typed, got, err, want)
		}
	}
}
