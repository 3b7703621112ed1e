package roamtest

import (
	"fmt"
	"strings"
	"testing"
)

// told remembers what a test would have said.
type told string

func (*told) Helper()                     {}
func (o *told) Fatalf(f string, a ...any) { *o = told("fatal: " + fmt.Sprintf(f, a...)) }
func (o *told) Skipf(f string, a ...any)  { *o = told("skip: " + fmt.Sprintf(f, a...)) }

func TestAMissingProgramIsAFailureInCI(t *testing.T) {
	for _, tt := range []struct{ name, program, ci, want string }{
		{"it is here", "go", "", ""},
		{"a developer without it", "no-such-program", "", "skip: left out"},
		{"CI without it", "no-such-program", "true", "fatal: this test drives no-such-program"},
	} {
		t.Setenv("CI", tt.ci)
		var got told
		path := Program(&got, tt.program)
		if !strings.HasPrefix(string(got), tt.want) || (path != "") != (tt.want == "") {
			t.Errorf("%s: path %q and %q, want %q", tt.name, path, got, tt.want)
		}
	}
}
