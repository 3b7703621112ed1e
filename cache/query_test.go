package cache

import (
	"slices"
	"testing"
)

func TestParameters(t *testing.T) {
	for _, tt := range []struct {
		name, query string
		want        []Parameter
	}{
		{"none", "", []Parameter{{"", "", "", true}}},
		{"two, in their order", "b=2&a=1", []Parameter{{"b=2", "b", "2", true}, {"a=1", "a", "1", true}}},
		{"escapes", "%61=x%2By+z", []Parameter{{"%61=x%2By+z", "a", "x+y z", true}}},
		{"an escape that is none", "a=%zz", []Parameter{{"a=%zz", "a", "%zz", false}}},
		{"no value, an empty one, one with =", "a&b=&c=d=e", []Parameter{{"a", "a", "", true}, {"b=", "b", "", true},
			{"c=d=e", "c", "d=e", true}}},
		{"a semicolon divides nothing", "a=1;b=2", []Parameter{{"a=1;b=2", "a", "1;b=2", true}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := slices.Collect(Parameters(tt.query)); !slices.Equal(got, tt.want) {
				t.Errorf("%q is %+v, want %+v", tt.query, got, tt.want)
			}
		})
	}
}
