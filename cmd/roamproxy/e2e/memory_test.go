package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// GOGC and GOMEMLIMIT in the environment win over the defaults.
func TestGOGCAndGOMEMLIMITReplaceTheDefaults(t *testing.T) {
	for _, tt := range []struct {
		env                  []string
		percent, limit, most float64
	}{
		{nil, 200, 1, 297 << 20}, // 64 MiB each for cached answers and queued bodies, 129 for connections, 40 for the rest; less in a container
		{[]string{"GOGC=150"}, 150, 1, 297 << 20},
		{[]string{"GOMEMLIMIT=300MiB"}, 200, 300 << 20, 300 << 20},
	} {
		t.Run(fmt.Sprint(tt.env), func(t *testing.T) {
			r := launch(t, "http://127.0.0.1:9", t.TempDir(), tt.env...)
			_, page := get(t, client(t), r.admin+"/metrics")
			var percent, limit float64
			for line := range strings.Lines(page) {
				fmt.Sscanf(line, "go_gc_gogc_percent %g", &percent)
				fmt.Sscanf(line, "go_gc_gomemlimit_bytes %g", &limit)
			}
			if percent != tt.percent || limit < tt.limit || limit > tt.most {
				t.Errorf("the collector starts at %v %% and the limit is %.0f, want %v and %.0f to %.0f", percent, limit, tt.percent, tt.limit, tt.most)
			}
		})
	}
}
