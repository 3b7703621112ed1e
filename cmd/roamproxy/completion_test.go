package main

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

func TestManPageAndCompletionHaveEveryCommand(t *testing.T) {
	_, help, _ := invoke(t, nil, "--help")
	for _, args := range [][]string{{"man"}, {"completion", "bash"}, {"completion", "zsh"}, {"completion", "fish"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			code, out, _ := invoke(t, nil, args...)
			for _, want := range []string{"serve", "demo", "simulate", "check", "token", "health", "version", "completion", "man"} {
				if code != 0 || !strings.Contains(out, want) || !strings.Contains(help, want) {
					t.Errorf("exit %d, and %s is missing; want 0 and every command", code, want)
				}
			}
			if plain := strings.ReplaceAll(out, `\`, ""); !strings.Contains(plain, "upstream-url") || !strings.Contains(plain, "connect") {
				t.Error("no flags, want them named")
			}
		})
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
		t.Run(typed, func(t *testing.T) {
			complete := fmt.Sprintf("%s\nCOMP_WORDS=(%s); COMP_CWORD=%d; _roamproxy; echo ${COMPREPLY[*]}", script, typed,
				len(strings.Fields(typed))-1)
			out, err := exec.Command(bash, "-c", complete).Output()
			if got := strings.TrimSpace(string(out)); err != nil || got != want {
				t.Errorf("there is %q (%v), want %q", got, err, want)
			}
		})
	}
}
