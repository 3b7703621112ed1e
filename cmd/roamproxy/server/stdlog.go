package server

import (
	"bytes"
	"log"
	"strings"

	"go.uber.org/zap"
)

// stdLogWriter takes what libraries say to one of Go's own loggers into ours: net/http, that it caught a panic of ours, or that Roam spoke
// without being asked. Quoted text may be request data, and the value of a panic can be anything, so neither is shown.
type stdLogWriter struct{ log *zap.Logger }

func (w stdLogWriter) Write(p []byte) (int, error) {
	text := string(bytes.TrimSpace(p))
	if caught, ok := strings.CutPrefix(text, "http: panic serving "); ok {
		caller, _, _ := strings.Cut(caught, ": ")
		stack := ""
		if i := strings.LastIndex(caught, "\ngoroutine "); i >= 0 {
			stack = caught[i+1:]
		}
		w.log.Error("a fault of roamproxy's own, which cost a call its answer: please report it with this line", zap.String("caller", caller),
			zap.String("stack", stack))
		return len(p), nil
	}
	text, _, _ = strings.Cut(text, `"`)
	w.log.Debug(short(text))
	return len(p), nil
}

// capture does so with Go's standard logger, which belongs to the whole process, until the end that it returns.
func (w stdLogWriter) capture() (end func()) {
	out, flags := log.Writer(), log.Flags()
	log.SetOutput(w)
	log.SetFlags(0)
	return func() { log.SetOutput(out); log.SetFlags(flags) }
}
