package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// What somebody set in the environment is not ours to change.
func TestTheEnvironmentDecidesAboutTheRuntime(t *testing.T) {
	for _, tt := range []struct {
		env                         []string
		percent, limit, most, cores float64
	}{
		{nil, 200, 1, 266 << 20, 1}, // less in a container
		{[]string{"GOGC=150"}, 150, 1, 266 << 20, 1},
		{[]string{"GOMEMLIMIT=300MiB"}, 200, 300 << 20, 300 << 20, 1},
		{[]string{"GOMAXPROCS=3"}, 200, 1, 266 << 20, 3},
	} {
		r := launch(t, "http://127.0.0.1:9", t.TempDir(), tt.env...)
		_, page := get(t, client(t), r.admin+"/metrics")
		var percent, limit, cores float64
		for line := range strings.Lines(page) {
			fmt.Sscanf(line, "go_gc_gogc_percent %g", &percent)
			fmt.Sscanf(line, "go_gc_gomemlimit_bytes %g", &limit)
			fmt.Sscanf(line, "go_sched_gomaxprocs_threads %g", &cores)
		}
		if percent != tt.percent || limit < tt.limit || limit > tt.most || cores != tt.cores {
			t.Errorf("with %v the collector starts at %v %%, the limit is %.0f and there are %v cores, want %v, %.0f to %.0f and %v", tt.env, percent, limit, cores, tt.percent, tt.limit, tt.most, tt.cores)
		}
	}
}
