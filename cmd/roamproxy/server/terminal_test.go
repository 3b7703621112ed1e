package server

import (
	"bytes"
	"strings"
	"testing"

	"go.uber.org/zap"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/metrics"
	"roamproxy/metrics/status"
	"roamproxy/proxy"
)

// On a terminal each call is one short line. Text from a caller cannot move the cursor or forge a line.
func TestLinesOnATerminal(t *testing.T) {
	for _, tt := range []struct {
		name string
		log  func(*observer)
		want string
	}{
		{"a hit", func(o *observer) {
			o.Answered(proxy.Report{Status: 200, Method: "GET", Route: "/v1/groups.list", Tool: "standup-bot", Cache: "hit", Total: 3e6})
		}, "200 GET /v1/groups.list standup-bot hit 3 ms"},
		{"a call that waited", func(o *observer) {
			o.Answered(proxy.Report{Status: 200, Method: "POST", Route: "/v1/chat.post", Tool: "bot", Cache: "bypass", Queue: 2100e6, Total: 2300e6})
		}, "200 POST /v1/chat.post bot bypass 2.3 s queued 2.1 s"},
		{"a refusal", func(o *observer) {
			o.Answered(proxy.Report{Status: 429, Method: "POST", Route: "/v1/chat.post", Tool: "bot", Cache: "bypass", Code: "queue_full"})
		}, "429 POST /v1/chat.post bot queue_full 0 ms"},
		{"a state", func(o *observer) { o.log.Warn("paused", zap.String("quota", "roam"), zap.String("why", "429 by Roam")) },
			`WARN paused quota=roam why="429 by Roam"`},
		{"a forged line", func(o *observer) {
			o.Answered(proxy.Report{Status: 200, Method: "GET", Route: "/v1/x\x1b[2J\n17:00:00 200", Tool: "bot", Cache: "miss"})
		}, "200 GET /v1/x?[2J?17:00:00 200 bot miss 0 ms"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			log := NewLog(config.Log{Level: "info", Format: "console"}, &out)
			o := newObserver(metrics.New(metrics.Options{Recorder: status.NewRecent()}), log.Logger)
			tt.log(o)
			line := out.String()
			if len(line) < 10 || line[9:] != tt.want+"\n" || strings.Count(line, "\n") != 1 {
				t.Errorf("got %q, want the time and %q", line, tt.want)
			}
		})
	}
}
