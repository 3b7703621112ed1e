package proxy

import (
	"errors"
	"net/http"

	"roamproxy/limiter"
	"roamproxy/proxy/budget"
	"roamproxy/proxy/httpbody"
)

// budgetReserver is the step before the queue. A call whose tool has used up its budget is not queued.
type budgetReserver struct {
	next    http.RoundTripper
	budgets *budget.Counts
}

func (r *budgetReserver) RoundTrip(req *http.Request) (*http.Response, error) {
	c := callOf(req.Context())
	if c == nil || c.perDay == 0 {
		return r.next.RoundTrip(req)
	}
	tool := c.Caller.Tool.Name
	if err := r.budgets.Reserve(tool, c.perDay); err != nil {
		httpbody.Close(req)
		return nil, budgetRefusal(err)
	}
	c.reserved = true
	res, err := r.next.RoundTrip(req)
	if c.reserved {
		r.budgets.Release(tool) // it was not sent
	}
	return res, err
}

// budgetSpender is the step after the queue. It counts every attempt before that is sent.
type budgetSpender struct {
	next    http.RoundTripper
	budgets *budget.Counts
}

func (s *budgetSpender) RoundTrip(req *http.Request) (*http.Response, error) {
	if c := callOf(req.Context()); c != nil && c.perDay > 0 {
		reserved := c.reserved
		c.reserved = false
		if err := s.budgets.Spend(c.Caller.Tool.Name, c.perDay, reserved); err != nil {
			httpbody.Close(req)
			return nil, budgetRefusal(err)
		}
	}
	return s.next.RoundTrip(req)
}

// budgetRefusal wraps an error of package budget in a *limiter.Refusal, which has Retry-After.
func budgetRefusal(err error) error {
	refusal := &limiter.Refusal{Reason: err}
	var used *budget.UsedUpError
	if errors.As(err, &used) {
		refusal.RetryAfter = used.RetryAfter
	}
	return refusal
}
