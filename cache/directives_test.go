package cache

import (
	"maps"
	"testing"
	"time"
)

func TestSection5_2_CacheControl(t *testing.T) {
	for _, tt := range []struct {
		name   string
		values []string
		want   directives
	}{
		{"nothing", nil, directives{}},
		{"several", []string{"no-cache, max-age=60"}, directives{"no-cache": "", "max-age": "60"}},
		{"over several fields", []string{"No-Store", "MAX-AGE = 5"}, directives{"no-store": "", "max-age": "5"}},
		{"a quoted argument", []string{`max-age="60"`}, directives{"max-age": "60"}},
		{"a list of names within quotes", []string{`private="a, no-store", x`}, directives{"private": "a, no-store", "x": ""}},
		{"a quote within quotes", []string{`x="a\",no-store", y`}, directives{"x": `a\",no-store`, "y": ""}},
		{"a quote that never ends", []string{`x="a, no-store`}, directives{"x": "a, no-store"}},
		{"empty elements", []string{",, ,no-store,,"}, directives{"no-store": ""}},
		{"one that is there twice", []string{"max-age=1, max-age=9"}, directives{"max-age": "1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := parseDirectives(tt.values); !maps.Equal(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestSection1_2_2_DeltaSeconds(t *testing.T) {
	for digits, want := range map[string]time.Duration{
		"60": time.Minute, "0": 0, "": 0, "-1": 0, "+5": 0, "1.5": 0, "soon": 0, " 7": 0, "2147483648": forever, "99999999999999999999": forever,
	} {
		t.Run(digits, func(t *testing.T) {
			if got := delta(digits); got != want {
				t.Errorf("%q is %v, want %v", digits, got, want)
			}
		})
	}
}

func FuzzDirectives(f *testing.F) {
	for _, seed := range []string{"no-cache, max-age=60", `private="a, b", x`, `"`, `=,=`, `a="\`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for name, argument := range parseDirectives([]string{value}) {
			if name == "" || len(name)+len(argument) > 4*len(value) {
				t.Errorf("%q has the directive %q=%q, want a name and no more than was given", value, name, argument)
			}
		}
	})
}
