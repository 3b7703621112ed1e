package server

import (
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"roamproxy/metrics"
	"roamproxy/metrics/status"
)

// statusChange is a log entry about a condition that changed.
type statusChange struct {
	level  zapcore.Level
	text   string
	fields []zap.Field
}

// noticeable is the part of its old value below which a new rate is logged.
const noticeable = 0.99

// statusChanges returns what changed between two moments, with advice. A condition that lasts is logged once.
func statusChanges(before, now status.Status) (all []statusChange) {
	add := func(level zapcore.Level, text string, fields ...zap.Field) {
		all = append(all, statusChange{level, text, fields})
	}
	for _, q := range now.Quotas {
		old, ok := pick(before.Quotas, func(b status.QuotaStatus) bool { return b.Name == q.Name })
		if !ok {
			continue
		}
		quota := zap.String("quota", q.Name)
		refused := q.Throttled - old.Throttled
		switch {
		case q.HeldFor == 0 && old.HeldFor > 0:
			add(zap.InfoLevel, "the manual pause has ended", quota, zap.Int("waiting", q.Waiting))
		case q.Paused && !old.Paused:
			add(zap.WarnLevel, "paused: Roam answered 429, so calls wait until Roam accepts the probe. "+
				"Another client spends the same quota, or it is smaller than configured: "+
				"find the other clients with this key, and check quotas[].rate and burst",
				quota, lasting("for", q.PausedFor), zap.Int("waiting", q.Waiting))
		case !q.Paused && old.Paused:
			add(zap.InfoLevel, "the pause has ended: Roam accepted the probe", quota, lasting("lasted", q.LastPause), zap.Int("waiting", q.Waiting))
		case refused > 0 && !q.Paused:
			add(zap.WarnLevel, "Roam answered 429, and accepted a call soon after", quota, zap.Int("times", refused))
		}
	}
	for _, q := range now.Quotas {
		old, ok := pick(before.Quotas, func(b status.QuotaStatus) bool { return b.Name == q.Name })
		switch {
		case !ok || q.Configured != old.Configured: // a reload has its own line
		case alone(q) != alone(old): // so has a change of Redis, which changes the rate too
		case q.Rate < old.Rate*noticeable:
			add(zap.WarnLevel, "the rate is reduced, because Roam refused calls within the quota: another client spends it; find "+
				"the other clients with this key",
				zap.String("quota", q.Name), zap.Float64("rate", q.Rate), zap.Float64("configured", q.Configured))
		case q.Rate >= q.Configured && old.Rate < old.Configured:
			add(zap.InfoLevel, "the rate is the configured one again", zap.String("quota", q.Name), zap.Float64("rate", q.Rate))
		}
	}
	for _, c := range now.Checks {
		old, ok := pick(before.Checks, func(b metrics.CheckResult) bool { return b.Name == c.Name })
		was := !ok || old.OK // a new check counts as passed so far
		switch {
		case c.Name == metrics.Stopping: // the shutdown has its own lines
		case was && !c.OK:
			add(zap.ErrorLevel, "not ready: an operator must fix this", zap.String("check", c.Name), zap.String("problem", c.Problem))
		case !was && c.OK:
			add(zap.InfoLevel, "ready again", zap.String("check", c.Name))
		case !c.OK && c.Problem != old.Problem:
			add(zap.ErrorLevel, "still not ready, for another reason", zap.String("check", c.Name), zap.String("problem", c.Problem))
		}
	}
	return all
}

// alone reports whether Redis is unreachable, so that the quota is only this replica's part.
func alone(q status.QuotaStatus) bool { return q.Shared && q.Replicas == 0 }

func pick[T any](all []T, is func(T) bool) (found T, ok bool) {
	for _, v := range all {
		if is(v) {
			return v, true
		}
	}
	return found, false
}

func lasting(key string, s float64) zap.Field {
	return zap.Stringer(key, time.Duration(s*float64(time.Second)).Round(100*time.Millisecond))
}

// statusChanged logs what changed. The first call also logs the checks that fail from the start.
func (o *observer) statusChanged(before, now status.Status) {
	var all []statusChange
	if !o.compared {
		o.compared = true
		unknown := before
		unknown.Checks = nil
		all = statusChanges(unknown, before)
	}
	for _, c := range append(all, statusChanges(before, now)...) {
		o.log.Log(c.level, c.text, c.fields...)
	}
}
