package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"roamproxy/proxy/credential"
)

// Mistake is one error in the configuration.
type Mistake struct {
	Where string // file:line, or another origin such as --listen
	Key   string // as the user wrote it, such as quotas[0].rate
	Text  string

	absence bool // Key is absent, for which another mistake may be the cause
}

func (m Mistake) Error() string {
	parts := []string{}
	for _, p := range []string{m.Where, m.Key, m.Text} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, ": ")
}

// decoder reads YAML into a Config and collects all mistakes.
type decoder struct {
	file     string
	getenv   func(string) (string, bool)
	sources  map[string]string // by key: the origin of its value
	mistakes []Mistake
	broken   bool     // the file is not YAML, so its keys are unknown
	wrong    []string // keys with a value that was not accepted
	meant    []string // keys that were probably meant by an unknown one
}

func (d *decoder) bad(n *yaml.Node, key, format string, args ...any) {
	where := d.file
	if n != nil && n.Line > 0 {
		where = fmt.Sprintf("%s:%d", d.file, n.Line)
	}
	d.mistakes = append(d.mistakes, Mistake{Where: where, Key: key, Text: fmt.Sprintf(format, args...)})
	d.wrong = append(d.wrong, key)
}

// fileSize bounds a configuration file in bytes: a thousand tools take about 300 KiB.
const fileSize = 1 << 20

func (d *decoder) decode(content []byte, into *Config) {
	if len(content) > fileSize {
		d.bad(nil, "", "the file is larger than %d bytes", fileSize)
		return
	}
	in := yaml.NewDecoder(bytes.NewReader(content))
	var doc, second yaml.Node
	switch err := in.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return // an empty file is all defaults
	case err != nil:
		d.mistakes = append(d.mistakes, syntaxMistake(d.file, content, err))
		d.broken = true
		return
	}
	if err := in.Decode(&second); !errors.Is(err, io.EOF) {
		d.bad(&second, "", "a second document begins here; write one")
	}
	if doc.Kind == yaml.DocumentNode && len(doc.Content) == 1 {
		d.value(doc.Content[0], "", reflect.ValueOf(into).Elem())
	}
}

type scalar interface{ parse(string) error }

func (d *decoder) value(n *yaml.Node, key string, into reflect.Value) {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		d.bad(n, key, "anchors and aliases are not supported; write the value out")
		return
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // a key without a value has its default
	}
	if into.Kind() == reflect.Pointer { // a key that may be absent; nil: it is
		into.Set(reflect.New(into.Type().Elem()))
		into = into.Elem()
	}
	_, special := into.Addr().Interface().(scalar)
	_, secret := into.Interface().(credential.Secret)
	switch {
	case special || secret:
		d.scalar(n, key, into)
	case into.Kind() == reflect.Struct:
		d.object(n, key, into)
	case into.Kind() == reflect.Slice:
		d.list(n, key, into)
	default:
		d.scalar(n, key, into)
	}
}

func (d *decoder) object(n *yaml.Node, key string, into reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.bad(n, key, "want keys with values here")
		return
	}
	if key != "" { // the place of a mistake about an absent key
		d.sources[key] = fmt.Sprintf("%s:%d", d.file, n.Line)
	}
	fields := make(map[string]reflect.Value)
	for i := range into.NumField() {
		fields[into.Type().Field(i).Tag.Get("key")] = into.Field(i)
	}
	seen := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i].Value
		full := strings.TrimPrefix(key+"."+name, ".")
		if line, twice := seen[name]; twice {
			d.bad(n.Content[i], full, "is a duplicate of line %d", line)
			d.wrong = d.wrong[:len(d.wrong)-1] // the first one counts
			continue
		}
		seen[name] = n.Content[i].Line
		field, ok := fields[name]
		if now := removedKey(full); now != "" {
			d.bad(n.Content[i], full, "%s", now)
			continue
		}
		if !ok {
			meant := suggest(name, fields)
			if meant == "" {
				d.bad(n.Content[i], full, "there is no such key")
				continue
			}
			d.meant = append(d.meant, strings.TrimPrefix(key+"."+meant, "."))
			d.bad(n.Content[i], full, "there is no such key; did you mean %s?", meant)
			continue
		}
		d.value(n.Content[i+1], full, field)
	}
}

func (d *decoder) list(n *yaml.Node, key string, into reflect.Value) {
	items := n.Content
	if n.Kind == yaml.ScalarNode && into.Type().Elem().Kind() == reflect.String {
		items = []*yaml.Node{n} // one value instead of a list of one
	} else if n.Kind != yaml.SequenceNode {
		d.bad(n, key, "want a list here, each item after a dash: - …")
		return
	}
	list := reflect.MakeSlice(into.Type(), 0, len(items))
	for i, item := range items {
		element := reflect.New(into.Type().Elem())
		if e, ok := element.Interface().(interface{ defaults() }); ok {
			e.defaults()
		}
		d.value(item, fmt.Sprintf("%s[%d]", key, i), element.Elem())
		list = reflect.Append(list, element.Elem())
	}
	into.Set(list)
	d.sources[key] = fmt.Sprintf("%s:%d", d.file, n.Line)
}

func (d *decoder) scalar(n *yaml.Node, key string, into reflect.Value) {
	if n.Kind != yaml.ScalarNode {
		d.bad(n, key, "want a single value here")
		return
	}
	text, used, missing := expand(n.Value, d.getenv)
	if missing != "" {
		d.bad(n, key, "the variable %s is not set and has no default; a literal $ is written $$", missing)
		return
	}
	if err := set(into, text); err != nil {
		d.bad(n, key, "%s", err)
		return
	}
	d.sources[key] = fmt.Sprintf("%s:%d", d.file, n.Line)
	if used != "" {
		d.sources[key] += ", $" + used
	}
}

// set parses text as the type of the field.
func set(into reflect.Value, text string) error {
	if s, ok := into.Addr().Interface().(scalar); ok {
		return s.parse(text)
	}
	if s, ok := into.Addr().Interface().(*credential.Secret); ok {
		*s = credential.NewSecret(credential.Trim(text))
		return nil
	}
	switch into.Kind() {
	case reflect.String:
		into.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("want true or false, not %q", text)
		}
		into.SetBool(text == "true")
	case reflect.Int:
		v, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("want a whole number, not %q", text)
		}
		into.SetInt(int64(v))
	case reflect.Float64:
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || v-v != 0 {
			return fmt.Errorf("want a number, not %q", text)
		}
		into.SetFloat(v)
	}
	return nil
}

// suggest returns the most similar key, or "".
func suggest(name string, fields map[string]reflect.Value) string {
	best, least := "", 3 // with more than two different letters it is another word
	for key := range fields {
		if n := distance(name, key); n < least || n == least && best != "" && key < best {
			best, least = key, n
		}
	}
	return best
}

// distance returns how many letters must be changed, added or removed to get b from a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			next := min(row[j], row[j+1]) + 1
			if a[i] == b[j] {
				next = min(next, diagonal)
			} else {
				next = min(next, diagonal+1)
			}
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
