package server

import (
	"bytes"
	"log"
	"strings"

	"go.uber.org/zap"
)

// stdLogWriter forwards the output of Go's own loggers to zap: net/http reports recovered panics there, and responses that Roam sent
// without a request. Quoted text may be request data, and the value of a panic can be anything, so both are omitted.
type stdLogWriter struct{ log *zap.Logger }

func (w stdLogWriter) Write(p []byte) (int, error) {
	text := string(bytes.TrimSpace(p))
	if caught, ok := strings.CutPrefix(text, "http: panic serving "); ok {
		caller, _, _ := strings.Cut(caught, ": ")
		stack := ""
		if i := strings.LastIndex(caught, "\ngoroutine "); i >= 0 {
			stack = caught[i+1:]
		}
		w.log.Error("roamproxy panicked while it answered a call; please report this line", zap.String("caller", caller),
			zap.String("stack", stack))
		return len(p), nil
	}
	text, _, _ = strings.Cut(text, `"`)
	w.log.Debug(short(text))
	return len(p), nil
}

// capture makes Go's standard logger, which belongs to the whole process, write to w until end is called.
func (w stdLogWriter) capture() (end func()) {
	out, flags := log.Writer(), log.Flags()
	log.SetOutput(w)
	log.SetFlags(0)
	return func() { log.SetOutput(out); log.SetFlags(flags) }
}
