package config

import (
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"roamproxy/proxy/credential"
)

// Print writes the configuration as YAML, with the origin of each value as a comment, and without secrets.
func (l *Loaded) Print(w io.Writer) {
	e := l.effective()
	e.printObject(w, "", "", reflect.ValueOf(e.Config))
}

// effective returns the configuration in which each tool has the values that it inherits, with the inherited key as their origin.
func (l *Loaded) effective() *Loaded {
	e := &Loaded{Config: l.Config, Sources: maps.Clone(l.Sources)}
	if e.Sources == nil {
		e.Sources = make(map[string]string)
	}
	e.Tools = slices.Clone(l.Tools)
	for i := range e.Tools {
		t, key := &e.Tools[i], fmt.Sprintf("tools[%d]", i)
		credential := 0
		if t.Credential != "" {
			credential = slices.IndexFunc(l.Credentials, func(k Credential) bool { return k.Name == t.Credential })
		} else {
			t.Credential, e.Sources[key+".credential"] = l.Credentials[0].Name, "the first of credentials"
		}
		quota := slices.IndexFunc(l.Quotas, func(q Quota) bool { return q.Name == l.Credentials[credential].Quota })
		inherited := fmt.Sprintf("quotas[%d]", quota)
		if t.MaxWait == 0 {
			t.MaxWait, e.Sources[key+".max_wait"] = l.Quotas[quota].MaxWait, inherited
		}
		if t.MaxQueue == 0 {
			t.MaxQueue, e.Sources[key+".max_queue"] = l.Quotas[quota].MaxQueue, inherited
		}
	}
	return e
}

func (l *Loaded) printObject(w io.Writer, indent, key string, v reflect.Value) {
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("key")
		l.printValue(w, indent, strings.TrimPrefix(key+"."+name, "."), name, v.Field(i))
	}
}

func (l *Loaded) printValue(w io.Writer, indent, key, name string, v reflect.Value) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return // left to the built-in rule or route
		}
		v = v.Elem()
	}
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

// shown returns a value as YAML, and never a secret.
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
