package proxy

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"roamproxy/limiter"
)

// ownName is the tool in whose name roamproxy makes calls of its own.
const ownName = "roamproxy"

// Call makes a call to Roam on behalf of the operator, with the first credential, by way of the queue and of all the steps that a
// tool's call takes. The caller closes the body of the response. An error means that there is none.
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

// ErrorString says what happened to a call that has no response, and what to do, without addresses or secrets.
func ErrorString(err error) string {
	_, code, _ := describe(err)
	return sentence(err, code)
}

// operatorWait is the longest wait of such a call: a person waits for it at a command line.
const operatorWait = 30 * time.Second
