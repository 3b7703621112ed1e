package proxy

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dunglas/httpsfv"
)

// preferences are what a request says about its place in the queue.
type preferences struct {
	urgency   int
	maxWait   time.Duration // configured longest wait
	askedWait time.Duration // longest wait that the tool asked for; below 0: none
	applied   string        // value of Preference-Applied
}

// parsePreferences reads Priority (RFC 9218) and Prefer: wait (RFC 7240, section 4.3). A wait is at most most. A malformed field is
// ignored. urgency is that of a tool without Priority.
func parsePreferences(priority, prefer []string, urgency int, most time.Duration) preferences {
	w := preferences{urgency: urgency, maxWait: most, askedWait: -1}
	if len(priority) > 0 {
		if dictionary, err := httpsfv.UnmarshalDictionary(priority); err == nil {
			if member, ok := dictionary.Get("u"); ok {
				if item, ok := member.(httpsfv.Item); ok {
					if u, ok := item.Value.(int64); ok && u >= 0 && u <= 7 {
						w.urgency = int(u)
					}
				}
			}
		}
	}
	if len(prefer) == 0 {
		return w
	}
	for preference := range strings.SplitSeq(strings.Join(prefer, ","), ",") {
		name, value, _ := strings.Cut(preference, "=")
		value, _, _ = strings.Cut(value, ";")
		if !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		seconds, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31)
		if err != nil {
			continue
		}
		w.askedWait = min(time.Duration(seconds)*time.Second, most)
		w.applied = fmt.Sprintf("wait=%d", int(w.askedWait.Seconds()))
		break // the first one counts
	}
	return w
}
