package main

import (
	"io"
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"

	"roamproxy/metrics"
	"roamproxy/proxy"
)

// reporter tells metrics and log what the proxy tells it.
type reporter struct {
	metrics *metrics.Metrics
	log     *zap.Logger
	quotas  map[string]*metrics.Quota
}

// Met makes a caller's name known to the metrics.
func (r *reporter) Met(tool string) { r.metrics.Tool(tool) }

// Sent counts a call to Roam.
func (r *reporter) Sent(quota, route string, status int, d time.Duration) {
	r.quotas[quota].Sent(route, status, d)
}

// Left counts an answered request, and writes its line.
func (r *reporter) Left(v proxy.Visit) {
	r.metrics.Answered(metrics.Answer{Tool: v.Tool, Route: v.Route, Code: v.Status, Cache: v.Cache, Duration: v.Total, TraceID: v.TraceID})
	switch v.Code {
	case "":
		r.metrics.CacheAnswered(v.Cache)
	case "upstream_unreachable", "upstream_timeout", "credential", "canceled", "only_if_cached":
		// nobody refused these
	default:
		r.metrics.Refused(v.Tool, v.Code)
	}
	level := zap.InfoLevel
	if v.Status >= 500 {
		level = zap.WarnLevel
	}
	line := r.log.Check(level, "call")
	if line == nil {
		return
	}
	fields := []zap.Field{
		zap.String("tool", v.Tool), zap.String("method", v.Method), zap.String("route", short(v.Route)), zap.Int("status", v.Status), zap.String("cache", v.Cache),
		zap.Int64("queue_ms", v.Queue.Milliseconds()), zap.Int64("upstream_ms", v.Upstream.Milliseconds()), zap.Int64("total_ms", v.Total.Milliseconds()),
	}
	if v.Code != "" {
		fields = append(fields, zap.String("code", v.Code))
	}
	if v.Err != nil && v.Status >= 500 {
		fields = append(fields, zap.String("error", short(v.Err.Error())))
	}
	if v.TraceID != "" {
		fields = append(fields, zap.String("trace_id", v.TraceID))
	}
	line.Write(fields...)
}

// short bounds what a caller can put into the log.
func short(s string) string {
	if len(s) > 200 {
		return s[:200] + "…"
	}
	return s
}

// newLog writes to w: readable on a terminal, JSON otherwise, unless told.
func newLog(c Log, w io.Writer) *zap.Logger {
	level, err := zapcore.ParseLevel(c.Level)
	if err != nil {
		level = zap.InfoLevel
	}
	file, isFile := w.(*os.File)
	encoding := zap.NewProductionEncoderConfig()
	encoding.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	encoding.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zapcore.NewJSONEncoder(encoding)
	if c.Format == "console" || c.Format == "auto" && isFile && term.IsTerminal(int(file.Fd())) {
		encoding.EncodeTime = zapcore.TimeEncoderOfLayout(time.TimeOnly)
		encoding.EncodeLevel = zapcore.CapitalLevelEncoder
		encoder = zapcore.NewConsoleEncoder(encoding)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), level))
}
