package redistest

import (
	"fmt"
	"strings"
	"testing"
)

// record keeps what a test would report.
type record string

func (*record) Helper()                     {}
func (o *record) Fatalf(f string, a ...any) { *o = record("fatal: " + fmt.Sprintf(f, a...)) }
func (o *record) Skipf(f string, a ...any)  { *o = record("skip: " + fmt.Sprintf(f, a...)) }

func TestAMissingProgramIsAFailureInCI(t *testing.T) {
	for _, tt := range []struct{ name, program, ci, want string }{
		{"it is here", "go", "", ""},
		{"a developer without it", "no-such-program", "", "skip: left out"},
		{"CI without it", "no-such-program", "true", "fatal: this test drives no-such-program"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("CI", tt.ci)
			var got record
			path := Program(&got, tt.program)
			if !strings.HasPrefix(string(got), tt.want) || (path != "") != (tt.want == "") {
				t.Errorf("%s: path %q and %q, want %q", tt.name, path, got, tt.want)
			}
		})
	}
}
