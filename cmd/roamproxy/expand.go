package main

import "strings"

// expand replaces ${NAME}, ${NAME:-default} and $$ in a value, after the YAML was read, so that a variable cannot change its
// structure. used names the last variable, missing one that is not set and has no default.
func expand(text string, getenv func(string) (string, bool)) (out, used, missing string) {
	var b strings.Builder
	for {
		i := strings.IndexByte(text, '$')
		if i < 0 || i+1 == len(text) {
			b.WriteString(text)
			return b.String(), used, missing
		}
		b.WriteString(text[:i])
		rest := text[i+1:]
		end := strings.IndexByte(rest, '}')
		switch {
		case rest[0] == '$':
			b.WriteByte('$')
			text = rest[1:]
		case rest[0] == '{' && end > 0:
			name, usual, has := strings.Cut(rest[1:end], ":-")
			used = name
			if value, ok := getenv(name); ok && value != "" {
				b.WriteString(value)
			} else if has {
				b.WriteString(usual)
			} else {
				missing = name
			}
			text = rest[end+1:]
		default:
			b.WriteByte('$')
			text = rest
		}
	}
}
