package server

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode"

	"go.uber.org/zap/zapcore"
)

// callMessage is the message of access lines.
const callMessage = "call"

// terminalCore writes one short line for each entry, for a terminal:
//
//	17:18:28 200 GET /v1/groups.list standup-bot hit 3 ms
//	17:18:30 429 POST /v1/chat.post exporter queue_full 0 ms
//	17:18:31 WARN paused: Roam answered 429 quota=roam for=10s
type terminalCore struct {
	zapcore.LevelEnabler
	mu     *sync.Mutex // held while a line is written
	out    io.Writer
	fields []zapcore.Field
}

func newTerminalCore(out io.Writer, level zapcore.LevelEnabler) *terminalCore {
	return &terminalCore{LevelEnabler: level, mu: new(sync.Mutex), out: out}
}

// With returns a core that adds fields to each entry.
func (c *terminalCore) With(fields []zapcore.Field) zapcore.Core {
	with := *c
	with.fields = append(append([]zapcore.Field(nil), c.fields...), fields...)
	return &with
}

// Check adds the core to ce if the level is enabled.
func (c *terminalCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

// Write writes the line.
func (c *terminalCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	all := append(append([]zapcore.Field(nil), c.fields...), fields...)
	text := entryText(e, all)
	if e.Message == callMessage {
		text = callText(all)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := io.WriteString(c.out, e.Time.Format(time.TimeOnly)+" "+text+"\n")
	return err
}

// Sync does nothing: there is no buffer.
func (c *terminalCore) Sync() error { return nil }

// callText returns the main fields of an access line. The others are on the status page and in the JSON log.
func callText(fields []zapcore.Field) string {
	m := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(m)
	}
	words := []string{printed(m.Fields["status"]), printed(m.Fields["method"]), printed(m.Fields["route"]), printed(m.Fields["tool"])}
	if code, ok := m.Fields["code"]; ok {
		words = append(words, printed(code))
	} else {
		words = append(words, printed(m.Fields["cache"]))
	}
	words = append(words, milliseconds(m.Fields["total_ms"]))
	if queued, _ := m.Fields["queue_ms"].(int64); queued > 0 {
		words = append(words, "queued "+milliseconds(queued))
	}
	if problem, ok := m.Fields["error"]; ok {
		words = append(words, printed(problem))
	}
	return strings.Join(words, " ")
}

func entryText(e zapcore.Entry, fields []zapcore.Field) string {
	var b strings.Builder
	b.WriteString(e.Level.CapitalString() + " " + PlainText(e.Message))
	for _, f := range fields {
		m := zapcore.NewMapObjectEncoder()
		f.AddTo(m)
		for key, value := range m.Fields {
			if key == "stack" { // a stack is unreadable in one line
				fmt.Fprintf(&b, "\n%v", value)
				continue
			}
			text := printed(value)
			if strings.ContainsAny(text, " =") {
				text = fmt.Sprintf("%q", text)
			}
			fmt.Fprintf(&b, " %s=%s", key, text)
		}
	}
	return b.String()
}

// milliseconds returns short times in ms and longer ones in s.
func milliseconds(v any) string {
	ms, _ := v.(int64)
	if ms < 1000 {
		return fmt.Sprintf("%d ms", ms)
	}
	return fmt.Sprintf("%.1f s", float64(ms)/1000)
}

func printed(v any) string { return PlainText(fmt.Sprint(v)) }

// PlainText replaces characters that could move a terminal's cursor or forge a line: routes and names come from callers.
func PlainText(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
