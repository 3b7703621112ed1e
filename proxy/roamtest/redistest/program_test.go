package redistest

import (
	"fmt"
	"strings"
	"testing"
)

// record keeps what a test would report.
type record string

func (*record) Helper()                     {}
func (r *record) Fatalf(f string, a ...any) { *r = record("fatal: " + fmt.Sprintf(f, a...)) }
func (r *record) Skipf(f string, a ...any)  { *r = record("skip: " + fmt.Sprintf(f, a...)) }

func TestAMissingPartIsAFailureInCI(t *testing.T) {
	program := func(name string) func(*record) string { return func(r *record) string { return Program(r, name) } }
	module := func(load string) func(*record) string {
		return func(r *record) string { return Module(r, "go", "run", load) }
	}
	for _, tt := range []struct {
		name string
		look func(*record) string
		ci   string
		want string
	}{
		{"a program that is here", program("go"), "", ""},
		{"a developer without the program", program("no-such-program"), "", "skip: left out: it drives no-such-program"},
		{"CI without the program", program("no-such-program"), "true", "fatal: it drives no-such-program"},
		{"a developer without the module", module("no/such/module"), "", "skip: left out: "},
		{"CI without the module", module("no/such/module"), "true", "fatal: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("CI", tt.ci)
			var got record
			path := tt.look(&got)
			if !strings.HasPrefix(string(got), tt.want) || (path != "") != (tt.want == "") {
				t.Errorf("path %q and %q, want %q", path, got, tt.want)
			}
		})
	}
}
