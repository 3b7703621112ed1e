package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

// syntaxMistake explains why a file is not YAML: the place, the reason, the line, and what was probably meant.
func syntaxMistake(file string, content []byte, err error) Mistake {
	var load *yaml.LoadError
	if !errors.As(err, &load) || load.Mark.Line < 1 {
		return Mistake{Where: file, Text: strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	lines := strings.Split(strings.TrimRight(strings.ReplaceAll(string(content), "\r\n", "\n"), "\n"), "\n")
	at := min(load.Mark.Line, len(lines))
	column := load.Mark.Column
	if at < load.Mark.Line {
		column = len(lines[at-1]) + 1 // the end of the file, where something is missing
	}
	for i, line := range lines[:at] { // the parser often reports a tab only later
		if indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]; strings.Contains(indent, "\t") {
			return Mistake{Where: place(file, i+1, strings.Index(indent, "\t")+1),
				Text: "a tab indents this line; YAML wants spaces" + excerpt(line)}
		}
	}
	text := load.Message
	switch {
	case strings.Contains(text, "mapping values are not allowed"):
		text = "a key is not expected here: the line is indented too far, or a value with a colon and a space needs quotes"
	case strings.Contains(text, "expected '-' indicator"), strings.Contains(text, "did not find expected key"):
		text = "the line is indented differently from those that it belongs to"
	case strings.Contains(text, "cannot start any token"):
		text = "a value that begins with this character needs quotes"
	case strings.Contains(text, "unexpected end of stream"):
		text = "a quote that is opened is not closed"
	}
	return Mistake{Where: place(file, at, column), Text: text + excerpt(lines[at-1])}
}

func place(file string, line, column int) string {
	return fmt.Sprintf("%s:%d:%d", file, line, max(column, 1))
}

// excerpt returns the line for a message, without possible secrets.
func excerpt(line string) string {
	text := strings.TrimSpace(strings.ReplaceAll(line, "\t", " "))
	if i := regexp.MustCompile(`(?i)(key|secret|token|password)\w*["']?\s*:|://`).FindStringIndex(text); i != nil {
		text = text[:i[1]] + " …"
	} else if !strings.Contains(text, ":") && !strings.HasPrefix(text, "-") {
		return "" // perhaps part of a secret
	}
	const longest = 100
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return fmt.Sprintf(": %q", text)
}
