package proxy

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"roamproxy/limiter"
	"roamproxy/limiter/transport"
	"roamproxy/proxy/credential"
	"roamproxy/proxy/eventstream"
)

// upstream sends calls to Roam under one credential.
type upstream struct {
	name       string
	quota      Quota
	chain      http.RoundTripper
	credential *credential.Transport
	rateLimit  *rateLimit
}

// newUpstream builds the only chain that leads to Roam. Every call, cached or passed through, goes down these steps, and its response comes
// back up:
//
//	eventstream  a client that reopens its stream too soon waits; all streams end when the process stops
//	gate         while Roam refuses the credential, no call is sent
//	reserver     a tool with a daily budget has a call left
//	limiter      waits in the queue for a slot and a token; on 429 the whole queue pauses and the call is queued again
//	newestBody   a superseded write is sent with the newest body
//	credential   the secret is added to a clone of the request, here and nowhere else, for the upstream's host only
//	spender      the attempt counts for its tool's day
//	instrument   counts and times what is really sent, without the time in the queue
//	idleTimeout  ends a call that makes no progress
//	Base         the network: Transport
func newUpstream(o Options, c Credential) (*upstream, error) {
	q, err := findQuota(o, c.Quota)
	if err != nil {
		return nil, err
	}
	u := &upstream{name: c.Name, quota: q, rateLimit: newRateLimit(q)}
	var next http.RoundTripper = &idleTimeout{next: o.Base, limit: o.Timeout}
	next = &instrument{next: next, quota: q.Name, observer: o.Observer}
	next = &budgetSpender{next: next, budgets: o.Budgets}
	u.credential = &credential.Transport{Next: next, Name: c.Name, Source: c.Source, Scheme: o.Upstream.Scheme, Host: o.Upstream.Host}
	u.chain = &transport.RoundTripper{Next: &newestBody{next: u.credential}, Queue: q.Queue, Bodies: o.Bodies, Open: q.Open,
		Repeat: u.credential.CanRepeat}
	u.chain = &budgetReserver{next: u.chain, budgets: o.Budgets}
	u.chain = &credential.Gate{Next: u.chain, Credential: u.credential, Identity: identity(u.chain, o.Upstream)}
	u.chain = &eventstream.Transport{Next: u.chain, Streams: o.Streams, Upstream: c.Name, Tool: toolOf, Subscribes: isSubscription}
	return u, nil
}

// identity returns a function that sends roamproxy's own call of token.info by way of next.
func identity(next http.RoundTripper, upstream *url.URL) func(context.Context) (*http.Response, error) {
	return func(ctx context.Context) (*http.Response, error) {
		c := &upstreamCall{route: "token.info"}
		c.Caller = limiter.Caller{Urgency: limiter.Usual, Longest: identityWait}
		req, err := http.NewRequestWithContext(c.attach(ctx), http.MethodGet, upstream.Scheme+"://"+upstream.Host+"/v1/token.info", nil)
		if err != nil {
			return nil, err
		}
		return next.RoundTrip(req)
	}
}

// identityWait is the longest wait of that call in the queue: the tool whose call was answered 401 waits for it.
const identityWait = 5 * time.Second

// instrument counts and times the calls that are sent.
type instrument struct {
	next     http.RoundTripper
	quota    string
	observer Observer
}

func (i *instrument) RoundTrip(req *http.Request) (*http.Response, error) {
	c := callOf(req.Context())
	if c == nil {
		return i.next.RoundTrip(req)
	}
	start := time.Now()
	c.sentAt.Store(&start)
	c.sent.Store(true)
	if c.write != nil {
		c.write.Sent()
	}
	res, err := i.next.RoundTrip(req)
	took := time.Since(start)
	c.took += took
	if err == nil {
		c.sent.Store(res.StatusCode != http.StatusTooManyRequests) // or it is queued again
		i.observer.Sent(i.quota, c.route, res.StatusCode, took)
	} else if c.Sent() {
		i.observer.Sent(i.quota, c.route, 0, took)
	}
	return res, err
}
