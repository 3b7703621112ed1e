package config

import (
	"fmt"
	"io"
	"reflect"
	"strings"

	"roamproxy/proxy/credential"
)

// Print writes the configuration as YAML, with the source of each value beside it, and no secret.
func (l *Loaded) Print(w io.Writer) { l.printObject(w, "", "", reflect.ValueOf(l.Config)) }

func (l *Loaded) printObject(w io.Writer, indent, key string, v reflect.Value) {
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("key")
		l.printValue(w, indent, strings.TrimPrefix(key+"."+name, "."), name, v.Field(i))
	}
}

func (l *Loaded) printValue(w io.Writer, indent, key, name string, v reflect.Value) {
	_, written := v.Interface().(fmt.Stringer)
	switch {
	case v.Kind() == reflect.Struct && !written:
		if v.IsZero() {
			return
		}
		fmt.Fprintf(w, "%s%s:\n", indent, name)
		l.printObject(w, indent+"  ", key, v)
	case v.Kind() == reflect.Slice && v.Len() > 0 && v.Type().Elem().Kind() == reflect.Struct:
		fmt.Fprintf(w, "%s%s:\n", indent, name)
		for i := range v.Len() {
			var item strings.Builder
			l.printObject(&item, indent+"    ", fmt.Sprintf("%s[%d]", key, i), v.Index(i))
			fmt.Fprint(w, indent, "  - ", strings.TrimPrefix(item.String(), indent+"    "))
		}
	default:
		source := l.Sources[key]
		if source == "" {
			source = "default"
		}
		fmt.Fprintf(w, "%-50s # %s\n", fmt.Sprintf("%s%s: %s", indent, name, shown(v)), source)
	}
}

// shown is a value as YAML would have it. A secret is never shown.
func shown(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case credential.Secret:
		if x.IsZero() {
			return `""`
		}
		return `"[redacted]"`
	case RedisURL:
		return fmt.Sprintf("%q", x)
	case fmt.Stringer:
		return x.String()
	case string:
		return fmt.Sprintf("%q", x)
	case []string:
		all := make([]string, len(x))
		for i, s := range x {
			all[i] = fmt.Sprintf("%q", s)
		}
		return "[" + strings.Join(all, ", ") + "]"
	}
	if v.Kind() == reflect.Slice {
		return "[]"
	}
	return fmt.Sprint(v.Interface())
}
