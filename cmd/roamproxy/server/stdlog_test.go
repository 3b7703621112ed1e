package server

import (
	"bytes"
	stdlog "log"
	"strings"
	"testing"

	"roamproxy/cmd/roamproxy/config"
)

func TestStandardLoggerOutputIsFiltered(t *testing.T) {
	for _, tt := range []struct{ name, text, level, want string }{
		{"a connection", `Unsolicited response received on idle HTTP channel starting with "HTTP/1.1 200 marked"; err=<nil>`, "debug",
			"Unsolicited response received on idle HTTP channel starting with "},
		{"a handshake", "http: TLS handshake error from 127.0.0.1:1: EOF", "debug", "http: TLS handshake error from 127.0.0.1:1: EOF"},
		{"a panic", "http: panic serving [::1]:4: marked\ngoroutine 1 marked\n\ngoroutine 7 [running]:\nnet/http.x()\n", "error",
			`"stack":"goroutine 7 [running]:\nnet/http.x()"`},
		{"a panic without a stack", "http: panic serving @: marked", "error", `"stack":""`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			stdlog.New(stdLogWriter{NewLog(config.Log{Level: "debug", Format: "json"}, &out).Logger}, "", 0).Print(tt.text)
			if got := out.String(); strings.Contains(got, "marked") || !strings.Contains(got, tt.want) ||
				!strings.Contains(got, `"level":"`+tt.level+`"`) {
				t.Errorf("got %s, want level %s with %q and without the marked text", got, tt.level, tt.want)
			}
		})
	}
}
