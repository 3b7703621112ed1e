package proxy

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"roamproxy/limiter"
)

// ownName is the tool name of roamproxy's own calls.
const ownName = "roamproxy"

// Call sends a call of the operator to Roam, with the first credential. It goes through the queue and all other steps, as a tool's call
// does. The caller must close the body of the response.
func (p *Proxy) Call(ctx context.Context, method, target string, body []byte) (*http.Response, error) {
	c := &upstreamCall{route: routeOf(target)}
	c.Caller = limiter.Caller{Tool: limiter.Tool{Name: ownName, Weight: 1}, Urgency: limiter.Usual, Longest: operatorWait}
	req, err := http.NewRequestWithContext(c.attach(ctx), method, p.o.Upstream.Scheme+"://"+p.o.Upstream.Host+target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.ContentLength = int64(len(body))
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	return p.defaultUpstream.chain.RoundTrip(req)
}

// ErrorString returns what happened to a call without a response, and what to do. It names no address and no secret.
func ErrorString(err error) string {
	_, code, _ := describe(err)
	return sentence(err, code)
}

// operatorWait is the longest wait in the queue of a Call: a person waits for it at a command line.
const operatorWait = 30 * time.Second
