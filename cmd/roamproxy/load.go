package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
)

// Loaded is a configuration that may be used, and where each value came from.
type Loaded struct {
	Config
	Sources map[string]string // by key; a key that is not there has its default
}

// override is a value that does not come from the file.
type override struct{ key, value, source string }

// load puts the configuration together: flag, environment, file, default. The error is every mistake, joined.
func load(path string, getenv func(string) string, flags []override) (*Loaded, error) {
	if path == "" {
		path = getenv("ROAMPROXY_CONFIG")
	}
	c := defaults(getenv)
	d := &decoder{file: path, sources: make(map[string]string), getenv: func(name string) (string, bool) { v := getenv(name); return v, v != "" }}
	d.sources["credentials[0].api_key"] = "$ROAM_API_KEY"
	if path != "" {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("the configuration cannot be read: %w", err)
		}
		d.decode(content, &c)
		if _, own := d.sources["credentials"]; own && d.sources["credentials[0].api_key"] == "$ROAM_API_KEY" {
			delete(d.sources, "credentials[0].api_key")
		}
	}
	for _, o := range append(environment(getenv), flags...) {
		if o.value == "" {
			continue
		}
		if err := set(field(&c, o.key), o.value); err != nil {
			d.mistakes = append(d.mistakes, Mistake{o.source, o.key, err.Error()})
		}
		d.sources[o.key] = o.source
	}
	if c.StateDir == "" {
		c.StateDir, d.sources["state_dir"] = stateDir(getenv)
	}
	d.mistakes = append(d.mistakes, c.validate(d.sources)...)
	if err := joined(d.mistakes); err != nil {
		return nil, err
	}
	return &Loaded{c, d.sources}, nil
}

// joined is all mistakes as one error; nil when there are none.
func joined(mistakes []Mistake) error {
	errs := make([]error, len(mistakes))
	for i, m := range mistakes {
		errs[i] = m
	}
	return errors.Join(errs...)
}

// environment are the variables that stand for a key.
func environment(getenv func(string) string) []override {
	var all []override
	for _, v := range []struct{ name, key string }{
		{"ROAMPROXY_LISTEN", "listen"}, {"ROAMPROXY_ADMIN_LISTEN", "admin.listen"}, {"ROAMPROXY_UPSTREAM_URL", "upstream.url"},
		{"ROAMPROXY_STATE_DIR", "state_dir"}, {"ROAMPROXY_LOG_LEVEL", "log.level"}, {"ROAMPROXY_LOG_FORMAT", "log.format"},
	} {
		all = append(all, override{v.key, getenv(v.name), "$" + v.name})
	}
	return all
}

// field finds the field of a key that has no list in it.
func field(c *Config, key string) reflect.Value {
	v := reflect.ValueOf(c).Elem()
	for name := range splitKey(key) {
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("key") == name {
				v = v.Field(i)
				break
			}
		}
	}
	return v
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
