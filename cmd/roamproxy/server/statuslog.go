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

// noticeable is how far the rate must fall to be logged.
const noticeable = 0.99

// statusChanges returns what changed between two moments, with what to do. A condition that lasts is logged once.
func statusChanges(before, now status.Status) (all []statusChange) {
	tell := func(level zapcore.Level, text string, fields ...zap.Field) {
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
			tell(zap.InfoLevel, "the pause by hand is over", quota, zap.Int("waiting", q.Waiting))
		case q.Paused && !old.Paused:
			tell(zap.WarnLevel, "paused: Roam answered 429, so nothing is sent until it lets a call pass. Others spend the same quota, or it is "+
				"smaller than configured: find out who else holds the key, and see quotas[].rate and burst",
				quota, lasting("for", q.PausedFor), zap.Int("waiting", q.Waiting))
		case !q.Paused && old.Paused:
			tell(zap.InfoLevel, "the pause is over: Roam let a call pass", quota, lasting("lasted", q.LastPause), zap.Int("waiting", q.Waiting))
		case refused > 0 && !q.Paused:
			tell(zap.WarnLevel, "Roam answered 429, and let a call pass soon after", quota, zap.Int("times", refused))
		}
	}
	for _, q := range now.Quotas {
		old, ok := pick(before.Quotas, func(b status.QuotaStatus) bool { return b.Name == q.Name })
		switch {
		case !ok || q.Configured != old.Configured: // a reload has its own line
		case alone(q) != alone(old): // so has Redis: the rate is this replica's share now, or the whole again
		case q.Rate < old.Rate*noticeable:
			tell(zap.WarnLevel, "the rate fell, because Roam refused calls that the quota should have paid for: another client spends it; find "+
				"out who else holds the key",
				zap.String("quota", q.Name), zap.Float64("rate", q.Rate), zap.Float64("configured", q.Configured))
		case q.Rate >= q.Configured && old.Rate < old.Configured:
			tell(zap.InfoLevel, "the rate is the configured one again", zap.String("quota", q.Name), zap.Float64("rate", q.Rate))
		}
	}
	for _, c := range now.Checks {
		old, ok := pick(before.Checks, func(b metrics.CheckResult) bool { return b.Name == c.Name })
		was := !ok || old.OK // what is new was well so far
		switch {
		case c.Name == metrics.Stopping: // the stop has its own lines
		case was && !c.OK:
			tell(zap.ErrorLevel, "not ready: an operator must fix this", zap.String("check", c.Name), zap.String("problem", c.Problem))
		case !was && c.OK:
			tell(zap.InfoLevel, "ready again", zap.String("check", c.Name))
		case !c.OK && c.Problem != old.Problem:
			tell(zap.ErrorLevel, "still not ready, for another reason", zap.String("check", c.Name), zap.String("problem", c.Problem))
		}
	}
	return all
}

// alone reports whether a shared quota is, while Redis is unreachable, only this replica's part of it.
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

// statusChanged logs what changed. The first time it also logs what was not ready from the start.
func (r *observer) statusChanged(before, now status.Status) {
	var all []statusChange
	if !r.looked {
		r.looked = true
		unknown := before
		unknown.Checks = nil
		all = statusChanges(unknown, before)
	}
	for _, c := range append(all, statusChanges(before, now)...) {
		r.log.Log(c.level, c.text, c.fields...)
	}
}
