package config

import (
	"path/filepath"
	"strings"
)

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

// environment are the variables that stand for a key.
func environment(getenv func(string) string) []Override {
	var all []Override
	for _, v := range []struct{ name, key string }{
		{"ROAMPROXY_LISTEN", "listen"}, {"ROAMPROXY_ADMIN_LISTEN", "admin.listen"}, {"ROAMPROXY_UPSTREAM_URL", "upstream.url"},
		{"ROAMPROXY_STATE_DIR", "state_dir"}, {"ROAMPROXY_LOG_LEVEL", "log.level"}, {"ROAMPROXY_LOG_FORMAT", "log.format"},
	} {
		all = append(all, Override{v.key, getenv(v.name), "$" + v.name})
	}
	return all
}

// stateDir is systemd's, or the user's own (XDG Base Directory Specification).
func stateDir(getenv func(string) string) (dir, source string) {
	if dir := getenv("STATE_DIRECTORY"); dir != "" {
		return dir, "$STATE_DIRECTORY"
	}
	if dir := getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "roamproxy"), "$XDG_STATE_HOME"
	}
	if dir := getenv("HOME"); dir != "" {
		return filepath.Join(dir, ".local", "state", "roamproxy"), "$HOME"
	}
	return "", ""
}
