package main

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

type manCmd struct{}

// Run prints the manual page, for man -l or /usr/local/share/man/man1.
func (manCmd) Run(p *program, app *kong.Kong) error {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH ROAMPROXY 1\n.SH NAME\nroamproxy \\- one quota of the Roam HQ API, shared fairly by all your tools\n.SH "+
		"SYNOPSIS\n.B roamproxy\n.I command\n[flags]\n.SH DESCRIPTION\n")
	for line := range strings.Lines(description) {
		if text := strings.TrimSpace(line); text == "" {
			b.WriteString(".PP\n")
		} else {
			fmt.Fprintf(&b, "%s\n.br\n", roff(text))
		}
	}
	b.WriteString(".SH COMMANDS\n")
	for _, c := range app.Model.Leaves(true) {
		fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(c.Path()), roff(c.Help))
		for _, f := range c.Flags {
			value := ""
			if !f.IsBool() {
				value = "=" + f.FormatPlaceHolder()
			}
			fmt.Fprintf(&b, ".RS\n.TP\n.B %s\n%s\n.RE\n", roff("--"+f.Name+value), roff(f.Help))
		}
	}
	b.WriteString(".SH EXIT STATUS\n0 on success, 1 on an error, 2 on a wrong command line.\n")
	fmt.Fprint(p.out, b.String())
	return nil
}

// roff escapes the characters that are special to troff.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Run prints what the shell sources, such as: source <(roamproxy completion bash)
func (c completionCmd) Run(p *program, app *kong.Kong) error {
	if c.Shell == "fish" {
		fish(p, app)
		return nil
	}
	var names, cases []string
	for _, command := range app.Model.Leaves(true) {
		words := []string{}
		for _, f := range command.Flags {
			words = append(words, "--"+f.Name)
		}
		for _, a := range command.Positional {
			words = append(words, a.EnumSlice()...)
		}
		names = append(names, command.Name)
		cases = append(cases, fmt.Sprintf("    %s) words='%s' ;;", command.Name, strings.Join(words, " ")))
	}
	if c.Shell == "zsh" {
		fmt.Fprintln(p.out, "autoload -U +X bashcompinit && bashcompinit")
	}
	fmt.Fprintf(p.out, `_roamproxy() {
  local words='%s'
  [ "$COMP_CWORD" -gt 1 ] && case ${COMP_WORDS[1]} in
%s
    *) words= ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _roamproxy roamproxy
`, strings.Join(names, " "), strings.Join(cases, "\n"))
	return nil
}

func fish(p *program, app *kong.Kong) {
	quote := func(s string) string { return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'" }
	for _, c := range app.Model.Leaves(true) {
		fmt.Fprintf(p.out, "complete -c roamproxy -f -n __fish_use_subcommand -a %s -d %s\n", c.Name, quote(c.Help))
		for _, f := range c.Flags {
			fmt.Fprintf(p.out, "complete -c roamproxy -n '__fish_seen_subcommand_from %s' -l %s -d %s\n", c.Name, f.Name, quote(f.Help))
		}
		for _, a := range c.Positional {
			for _, word := range a.EnumSlice() {
				fmt.Fprintf(p.out, "complete -c roamproxy -f -n '__fish_seen_subcommand_from %s' -a %s\n", c.Name, word)
			}
		}
	}
}
