package server

import (
	"io"
	"os"
	"sync/atomic"
	"time"

	"roamproxy/cmd/roamproxy/config"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"
)

// Logger writes to one destination. A reload may change its level and format.
type Logger struct {
	*zap.Logger
	out  io.Writer
	core *swapCore
}

// NewLog returns a Logger that writes to w: text on a terminal and JSON otherwise, unless the configuration names the format.
func NewLog(c config.Log, w io.Writer) *Logger {
	l := &Logger{out: w, core: &swapCore{}}
	l.configure(c)
	l.Logger = zap.New(l.core)
	return l
}

// configure changes level and format from the next line on.
func (l *Logger) configure(c config.Log) {
	level, err := zapcore.ParseLevel(c.Level)
	if err != nil {
		level = zap.InfoLevel
	}
	var core zapcore.Core
	if c.Format == "console" || c.Format == "auto" && isTerminal(l.out) {
		core = newTerminalCore(l.out, level)
	} else {
		encoding := zap.NewProductionEncoderConfig()
		encoding.EncodeTime = zapcore.RFC3339NanoTimeEncoder
		encoding.EncodeDuration = zapcore.StringDurationEncoder
		core = zapcore.NewCore(zapcore.NewJSONEncoder(encoding), zapcore.Lock(zapcore.AddSync(l.out)), level)
	}
	l.core.now.Store(&core)
}

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	if b, ok := w.(*logBuffer); ok {
		w = b.out
	}
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// swapCore is a zapcore.Core that can be replaced while other goroutines log.
type swapCore struct{ now atomic.Pointer[zapcore.Core] }

func (c *swapCore) core() zapcore.Core                             { return *c.now.Load() }
func (c *swapCore) Enabled(l zapcore.Level) bool                   { return c.core().Enabled(l) }
func (c *swapCore) With(fields []zapcore.Field) zapcore.Core       { return c.core().With(fields) }
func (c *swapCore) Write(e zapcore.Entry, f []zapcore.Field) error { return c.core().Write(e, f) }
func (c *swapCore) Sync() error                                    { return c.core().Sync() }

// Check leaves the decision to the current core.
func (c *swapCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return c.core().Check(e, ce)
}

// accessLines is how many access lines of one level are written in a second. Beyond it one line of so many is written. At Roam's quota
// no line is omitted. A flood of hits can neither fill a disk nor cost more than the hits themselves.
const accessLines = 100

// sampled returns a logger that omits lines in a flood, and calls dropped for each.
func sampled(log *zap.Logger, dropped func()) *zap.Logger {
	return log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, time.Second, accessLines, accessLines,
			zapcore.SamplerHook(func(_ zapcore.Entry, d zapcore.SamplingDecision) {
				if d&zapcore.LogDropped > 0 {
					dropped()
				}
			}))
	}))
}
