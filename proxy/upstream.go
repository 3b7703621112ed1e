package proxy

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"roamproxy/limiter"
	"roamproxy/proxy/credential"
)

// lane is the way to Roam under one credential.
type lane struct {
	name       string
	quota      Quota
	exchange   http.RoundTripper
	credential *credential.Transport
	told       told
}

// newLane builds the only way to Roam. Every call, kept or streamed, goes down these steps, and its answer comes back up:
//
//	gate         while Roam refuses the credential, no call is sent
//	reserving    a tool that may make so many calls a day has one left
//	limiter      a place in the line, a token from the bucket; on 429 the whole line pauses and the call goes round again
//	credential   the secret is put on a clone of the request, here and nowhere else, for the upstream alone
//	spending     the call counts for its tool's day
//	instrument   what really went out, without the time in the line
//	idleTimeout  a call on which nothing moves is ended
//	Base         the network
func newLane(o Options, c Credential) (*lane, error) {
	q, err := quota(o, c.Quota)
	if err != nil {
		return nil, err
	}
	l := &lane{name: c.Name, quota: q, told: told{quota: q}}
	var next http.RoundTripper = &idleTimeout{next: o.Base, after: o.Timeout}
	next = &instrument{next: next, quota: q.Name, observer: o.Observer}
	next = &spending{next: next, budgets: o.Budgets}
	l.credential = &credential.Transport{Next: next, Name: c.Name, Source: c.Source, Scheme: o.Upstream.Scheme, Host: o.Upstream.Host}
	l.exchange = &limiter.Transport{Next: l.credential, Queue: q.Queue, Bodies: o.Bodies, Open: q.Open, Repeat: l.credential.Renewed}
	l.exchange = &reserving{next: l.exchange, budgets: o.Budgets}
	l.exchange = &credential.Gate{Next: l.exchange, Credential: l.credential, Identity: identity(l.exchange, o.Upstream)}
	return l, nil
}

// identity returns a function that asks for token.info by way of next, as a call of roamproxy's own.
func identity(next http.RoundTripper, upstream *url.URL) func(context.Context) (*http.Response, error) {
	return func(ctx context.Context) (*http.Response, error) {
		j := &journey{route: "token.info"}
		j.Caller = limiter.Caller{Urgency: limiter.Usual, Longest: identityWait}
		ctx = limiter.WithTrip(context.WithValue(ctx, journeyKey{}, j), &j.Trip)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, upstream.Scheme+"://"+upstream.Host+"/v1/token.info", nil)
		if err != nil {
			return nil, err
		}
		return next.RoundTrip(req)
	}
}

// identityWait is the longest wait in the queue of roamproxy's own call: a tool that was answered 401 waits for it.
const identityWait = 5 * time.Second

// instrument counts and times what really went out.
type instrument struct {
	next     http.RoundTripper
	quota    string
	observer Observer
}

func (i *instrument) RoundTrip(req *http.Request) (*http.Response, error) {
	j := travelling(req.Context())
	if j == nil {
		return i.next.RoundTrip(req)
	}
	start := time.Now()
	j.away.Store(true)
	res, err := i.next.RoundTrip(req)
	took := time.Since(start)
	j.upstream += took
	if err == nil {
		j.away.Store(res.StatusCode != http.StatusTooManyRequests) // or it goes round again
		i.observer.Sent(i.quota, j.route, res.StatusCode, took)
	} else if limiter.AttemptOf(req.Context()).Left() {
		i.observer.Sent(i.quota, j.route, 0, took)
	}
	return res, err
}
