package config

import (
	"path/filepath"
	"reflect"
	"strings"

	"roamproxy/proxy/credential"
)

// expand replaces ${NAME}, ${NAME:-default} and $$ in a value. It runs after the YAML is parsed, so that a variable cannot change the
// structure. It returns the last variable as used, and as missing a variable that is not set and has no default.
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

// environment returns the value of each key's environment variable, for single values outside lists: ROAMPROXY_ and the key in capitals,
// such as ROAMPROXY_UPSTREAM_TIMEOUT.
func environment(getenv func(string) string) []Override {
	var all []Override
	for _, key := range scalarKeys(reflect.TypeFor[Config](), "") {
		name := variable(key)
		all = append(all, Override{key, getenv(name), "$" + name})
	}
	return all
}

// scalarKeys returns the keys of all single values in t outside lists.
func scalarKeys(t reflect.Type, prefix string) (keys []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		key := prefix + f.Tag.Get("key")
		_, own := reflect.New(f.Type).Interface().(scalar)
		switch {
		case f.Type.Kind() == reflect.Slice:
		case f.Type.Kind() == reflect.Struct && !own && f.Type != reflect.TypeFor[credential.Secret]():
			keys = append(keys, scalarKeys(f.Type, key+".")...)
		default:
			keys = append(keys, key)
		}
	}
	return keys
}

// stateDir returns systemd's state directory, or the user's own (XDG Base Directory Specification). systemd joins several with colons
// (systemd.exec(5)); the first is used.
func stateDir(getenv func(string) string) (dir, source string) {
	if dir, _, _ := strings.Cut(getenv("STATE_DIRECTORY"), ":"); dir != "" {
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
