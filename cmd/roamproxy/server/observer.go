package server

import (
	"time"

	"go.uber.org/zap"

	"roamproxy/limiter"
	"roamproxy/metrics"
	"roamproxy/proxy"
	"roamproxy/proxy/webhook"
)

// observer forwards events of the proxy to metrics and log.
type observer struct {
	metrics  *metrics.Metrics
	log      *zap.Logger // for changes of state
	access   *zap.Logger // one line a call, fewer in a flood
	compared bool        // statusChanged was called before

	succeeded func() // called when Roam answers a call with success
}

func newObserver(m *metrics.Metrics, log *zap.Logger) *observer {
	return &observer{metrics: m, log: log, access: sampled(log, m.LineDropped)}
}

// NewTool adds the name of a tool to the metrics.
func (o *observer) NewTool(tool string) { o.metrics.Tool(tool) }

// snapshotObserver is the observer together with the quotas of one config snapshot.
type snapshotObserver struct {
	*observer
	quotas map[string]*metrics.Quota
}

// Sent counts a call to Roam.
func (o snapshotObserver) Sent(quota, route string, status int, d time.Duration) {
	o.quotas[quota].Sent(route, status, d)
	if status/100 == 2 {
		o.succeeded()
	}
}

// queueObserver counts the events of a queue.
type queueObserver struct{ *metrics.Quota }

// Waited implements limiter.Observer.
func (o queueObserver) Waited(tool string, outcome limiter.Outcome, wait time.Duration) {
	o.Quota.Waited(tool, metrics.Outcome(outcome), wait)
}

// Answered counts an answered request, and logs it.
func (o *observer) Answered(v proxy.Report) {
	o.metrics.Answered(metrics.Answer{
		ID: v.ID, TraceID: v.TraceID, Tool: v.Tool, Method: v.Method, Route: v.Route, Quota: v.Quota, Code: v.Status, Reason: string(v.Code),
		Cache: metrics.CacheResult(v.Cache), Queue: v.Queue, Upstream: v.Upstream, Duration: v.Total, Attempts: v.Attempts, Paged: v.Paged,
	})
	if line := o.log.Check(zap.DebugLevel, "decisions of a call"); line != nil {
		line.Write(decisions(v)...)
	}
	if v.Repeat != "" {
		o.metrics.Repeated(metrics.RepeatKind(v.Repeat))
	}
	if v.Superseded {
		o.metrics.Superseded(v.Route)
	}
	level := zap.InfoLevel
	if v.Status >= 500 {
		level = zap.WarnLevel
	}
	line := o.access.Check(level, callMessage)
	if line == nil {
		return
	}
	fields := []zap.Field{
		zap.String("request_id", v.ID), zap.String("tool", v.Tool), zap.String("method", v.Method), zap.String("route", short(v.Route)),
		zap.Int("status", v.Status), zap.String("cache", string(v.Cache)),
		zap.Int64("queue_ms", v.Queue.Milliseconds()), zap.Int64("upstream_ms", v.Upstream.Milliseconds()),
		zap.Int64("total_ms", v.Total.Milliseconds()),
		zap.Int("attempts", v.Attempts), zap.String("peer", v.Peer), zap.String("user_agent", short(v.Agent)),
	}
	if v.Code != "" {
		fields = append(fields, zap.String("code", string(v.Code)))
	}
	if v.Repeat != "" {
		fields = append(fields, zap.String("repeat", string(v.Repeat)))
	}
	if v.Err != nil && v.Status >= 500 {
		fields = append(fields, zap.String("error", short(v.Err.Error())))
	}
	if v.TraceID != "" {
		fields = append(fields, zap.String("trace_id", v.TraceID))
	}
	if v.RoamID != "" {
		fields = append(fields, zap.String("roam_request_id", short(v.RoamID)))
	}
	line.Write(fields...)
}

// decisions returns the log fields that explain why a call was answered from the cache or not, and how it was queued.
func decisions(v proxy.Report) []zap.Field {
	return []zap.Field{
		zap.String("request_id", v.ID), zap.String("tool", v.Tool), zap.String("route", short(v.Route)), zap.String("rule", v.Decisions.Rule),
		zap.String("cache_status", v.Decisions.CacheStatus), zap.String("quota", v.Quota), zap.Int("urgency", v.Decisions.Urgency),
		zap.Int64("longest_wait_ms", v.Decisions.LongestWait.Milliseconds()), zap.Int64("queue_ms", v.Queue.Milliseconds()),
		zap.Int("attempts", v.Attempts), zap.String("code", string(v.Code)),
	}
}

// webhook counts a delivery of Roam, and logs it: as a warning if it failed or was forged.
func (o *observer) webhook(result webhook.Result, e webhook.Event, forwarded time.Duration) {
	o.metrics.Webhook(metrics.WebhookResult(result), forwarded)
	level := zap.InfoLevel
	if result == webhook.Failed || result == webhook.Forged {
		level = zap.WarnLevel
	}
	if line := o.access.Check(level, "webhook"); line != nil {
		line.Write(zap.String("result", string(result)), zap.String("event", short(e.Name)), zap.Int64("forward_ms", forwarded.Milliseconds()))
	}
}

// short bounds the text of a caller that is logged.
func short(s string) string {
	if len(s) > 200 {
		return s[:200] + "…"
	}
	return s
}
