package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
)

// Loaded is a valid configuration, with the origin of each value.
type Loaded struct {
	Config
	Sources map[string]string // by key; an absent key has its default

	Warnings []string // about a valid configuration that is unsafe
}

// Override is a value from a flag or the environment. An empty Value has no effect.
type Override struct {
	Key    string // such as admin.listen; not within a list
	Value  string
	Source string // the origin that Print and mistakes show, such as --listen
}

// Load returns the configuration from flags, environment, file and defaults, in this order of precedence. An empty path means that of
// ROAMPROXY_CONFIG, or no file. The error joins all mistakes, including key and certificate files that cannot be used.
func Load(path string, getenv func(string) string, flags []Override) (*Loaded, error) {
	return load(path, getenv, flags, true)
}

// LoadWithoutFiles is Load without a check of the files that the configuration names, which may be on another machine.
func LoadWithoutFiles(path string, getenv func(string) string, flags []Override) (*Loaded, error) {
	return load(path, getenv, flags, false)
}

func load(path string, getenv func(string) string, flags []Override, files bool) (*Loaded, error) {
	l, d, err := read(path, getenv, flags)
	if err != nil {
		return nil, err
	}
	if !d.broken {
		found := append(l.Validate(l.Sources), checkProxies(getenv)...)
		found = append(found, removedVariables(getenv)...)
		if files {
			v := &checker{sources: l.Sources}
			l.checkFiles(v)
			found = append(found, v.mistakes...)
		}
		d.mistakes = append(d.mistakes, d.unexplained(found)...)
	}
	if err := joined(d.mistakes); err != nil {
		return nil, err
	}
	return l, nil
}

// Peek returns the configuration without validating it. It is for commands that look for a running roamproxy, which may have started
// before the file got a mistake.
func Peek(path string, getenv func(string) string, flags []Override) (Config, error) {
	l, _, err := read(path, getenv, flags)
	if err != nil {
		return Config{}, err
	}
	return l.Config, nil
}

func read(path string, getenv func(string) string, flags []Override) (*Loaded, *decoder, error) {
	if path == "" {
		path = getenv("ROAMPROXY_CONFIG")
	}
	c := Default(getenv)
	d := &decoder{file: path, sources: make(map[string]string),
		getenv: func(name string) (string, bool) { v := getenv(name); return v, v != "" }}
	d.sources["credentials[0].api_key"] = "$ROAM_API_KEY"
	var content []byte
	if path != "" {
		var err error
		if content, err = os.ReadFile(path); err != nil {
			return nil, nil, fmt.Errorf("the configuration cannot be read: %w", err)
		}
		d.decode(content, &c)
		if _, own := d.sources["credentials"]; own && d.sources["credentials[0].api_key"] == "$ROAM_API_KEY" {
			delete(d.sources, "credentials[0].api_key")
		}
	}
	for _, o := range append(environment(getenv), flags...) {
		if o.Value == "" {
			continue
		}
		if err := set(field(&c, o.Key), o.Value); err != nil {
			d.mistakes = append(d.mistakes, Mistake{Where: o.Source, Key: o.Key, Text: err.Error()})
			d.wrong = append(d.wrong, o.Key)
		}
		d.sources[o.Key] = o.Source
	}
	if c.StateDir == "" {
		c.StateDir, d.sources["state_dir"] = stateDir(getenv)
	}
	l := &Loaded{Config: c, Sources: d.sources}
	l.Warnings = l.warnings(path, content)
	return l, d, nil
}

// unexplained returns those mistakes of validation that no mistake of decoding has caused: one cause gives one message.
func (d *decoder) unexplained(found []Mistake) []Mistake {
	explains := func(cause, key string, absence bool) bool {
		within := func(key, of string) bool {
			return key == of || strings.HasPrefix(key, of+".") || strings.HasPrefix(key, of+"[")
		}
		parent := key[:max(strings.LastIndexAny(key, ".["), 0)]
		return cause != "" && (within(key, cause) || absence && (within(cause, key) || parent != "" && within(cause, parent)))
	}
	var rest []Mistake
	for _, f := range found {
		explained := slices.ContainsFunc(d.wrong, func(key string) bool { return explains(key, f.Key, f.absence) })
		for _, key := range d.meant { // and the meant key is absent
			explained = explained || d.sources[key] == "" && explains(key, f.Key, f.absence)
		}
		if !explained {
			rest = append(rest, f)
		}
	}
	return rest
}

// joined returns all mistakes as one error; nil for none.
func joined(mistakes []Mistake) error {
	errs := make([]error, len(mistakes))
	for i, m := range mistakes {
		errs[i] = m
	}
	return errors.Join(errs...)
}

// field returns the field of a key that is not in a list.
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
