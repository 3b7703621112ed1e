package limiter

import (
	"errors"
	"testing"
	"time"
)

func TestTheReasonOfARefusal(t *testing.T) {
	const longest = 20 * time.Second
	for _, tt := range []struct {
		name          string
		state         PauseState
		lasts, waited time.Duration
		want          error
	}{
		{"the queue alone", PauseOpen, 0, 0, ErrWaitTooLong},
		{"expired in the queue", PauseOpen, 0, longest, ErrWaitTooLong},
		{"a pause that is over before its longest wait", PauseShut, longest, 0, ErrWaitTooLong},
		{"a pause that is not", PauseShut, longest + 1, 0, ErrPaused},
		{"expired in a pause", PauseShut, time.Second, longest, ErrPaused},
		{"expired while one probes", PauseProbing, 0, longest, ErrPaused},
		{"came while one probes", PauseProbing, 0, 0, ErrWaitTooLong},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, now := stands(1, 10, 0, Options{}, 0)
			s.pause.state, s.pause.until = tt.state, now.Add(tt.lasts)
			if r := s.refusal(now, &call{tool: Tool{Name: "bot"}, urgency: Usual}, longest, tt.waited); !errors.Is(r, tt.want) {
				t.Errorf("refused because %v, want %v", r.Reason, tt.want)
			}
		})
	}
}

func TestHowLongSlotsAreHeldIsSmoothed(t *testing.T) {
	var m mean
	m.add(time.Second)
	if m.add(2 * time.Second); time.Duration(m) != 1125*time.Millisecond {
		t.Errorf("after 1 s and 2 s the mean is %v, want an eighth on the way", time.Duration(m))
	}
}
