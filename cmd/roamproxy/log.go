package main

import (
	"bytes"
	"io"
	"log"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"roamproxy/cmd/roamproxy/config"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"
)

// logger writes to one place, at a level and in a form that a reload may change.
type logger struct {
	*zap.Logger
	out  io.Writer
	core *changing
}

// newLog writes to w: readable on a terminal, JSON otherwise, unless told.
func newLog(c config.Log, w io.Writer) *logger {
	l := &logger{out: w, core: &changing{}}
	l.configure(c)
	l.Logger = zap.New(l.core)
	return l
}

// configure changes level and form from the next line on.
func (l *logger) configure(c config.Log) {
	level, err := zapcore.ParseLevel(c.Level)
	if err != nil {
		level = zap.InfoLevel
	}
	file, isFile := l.out.(*os.File)
	encoding := zap.NewProductionEncoderConfig()
	encoding.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	encoding.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zapcore.NewJSONEncoder(encoding)
	if c.Format == "console" || c.Format == "auto" && isFile && term.IsTerminal(int(file.Fd())) {
		encoding.EncodeTime = zapcore.TimeEncoderOfLayout(time.TimeOnly)
		encoding.EncodeLevel = zapcore.CapitalLevelEncoder
		encoder = zapcore.NewConsoleEncoder(encoding)
	}
	core := zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(l.out)), level)
	l.core.now.Store(&core)
}

// changing is a zapcore.Core that can be replaced while others write to it.
type changing struct{ now atomic.Pointer[zapcore.Core] }

func (c *changing) core() zapcore.Core                             { return *c.now.Load() }
func (c *changing) Enabled(l zapcore.Level) bool                   { return c.core().Enabled(l) }
func (c *changing) With(fields []zapcore.Field) zapcore.Core       { return c.core().With(fields) }
func (c *changing) Write(e zapcore.Entry, f []zapcore.Field) error { return c.core().Write(e, f) }
func (c *changing) Sync() error                                    { return c.core().Sync() }

// Check leaves the decision to the core of the moment.
func (c *changing) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return c.core().Check(e, ce)
}

// heard takes what libraries say to one of Go's own loggers into ours: net/http, that it caught a panic of ours, or that Roam spoke
// out of turn. What stands in quotes is somebody's bytes, and the value of a panic can be anything, so neither is shown.
type heard struct{ log *zap.Logger }

func (h heard) Write(p []byte) (int, error) {
	text := string(bytes.TrimSpace(p))
	if caught, ok := strings.CutPrefix(text, "http: panic serving "); ok {
		caller, _, _ := strings.Cut(caught, ": ")
		stack := ""
		if i := strings.LastIndex(caught, "\ngoroutine "); i >= 0 {
			stack = caught[i+1:]
		}
		h.log.Error("a fault of roamproxy's own, which cost a call its answer: please report it with this line", zap.String("caller", caller), zap.String("stack", stack))
		return len(p), nil
	}
	text, _, _ = strings.Cut(text, `"`)
	h.log.Debug(short(text))
	return len(p), nil
}

// overhear does so with Go's standard logger, which belongs to the whole process, until the end that it returns.
func (h heard) overhear() (end func()) {
	out, flags := log.Writer(), log.Flags()
	log.SetOutput(h)
	log.SetFlags(0)
	return func() { log.SetOutput(out); log.SetFlags(flags) }
}

// Of the access lines of one second and level, this many are written, and after them one of as many. At the usual quota none is
// ever left out; a flood of hits can neither fill a disk nor cost more than the hits themselves.
const accessLines = 100

// sampled leaves lines out under a flood, and tells of each.
func sampled(log *zap.Logger, dropped func()) *zap.Logger {
	return log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, time.Second, accessLines, accessLines, zapcore.SamplerHook(func(_ zapcore.Entry, d zapcore.SamplingDecision) {
			if d&zapcore.LogDropped > 0 {
				dropped()
			}
		}))
	}))
}
