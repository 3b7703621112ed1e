package server

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"roamproxy/metrics/status"
)

// AdminClient sends requests to the admin listener of a running roamproxy. It connects directly, without HTTP_PROXY.
type AdminClient struct {
	Base  string // URL of the admin listener, without a slash at the end
	Token string // of admin.token_file; "": none

	transport http.Transport
}

// adminAnswerSize bounds an answer of the admin listener in bytes. The largest, the status, has about 60 KiB.
const adminAnswerSize = 4 << 20

// Do sends a request, and returns the status code and the body of an answer of roamproxy. Any other answer is an error, which says how to
// reach roamproxy.
func (c *AdminClient) Do(ctx context.Context, method, path string) (code int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, c.Base+path, nil)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set(status.ActionHeader, "yes")
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	res, err := c.transport.RoundTrip(req)
	if err != nil {
		return 0, nil, fmt.Errorf("no roamproxy answers: %w; give its admin.listen with --url", err)
	}
	defer res.Body.Close()
	// the answer about an unknown quota
	unknown := res.StatusCode == http.StatusNotFound && method == http.MethodPost && res.Header.Get("Content-Type") == "application/json"
	switch {
	case res.StatusCode == http.StatusOK, res.StatusCode == http.StatusBadRequest, unknown:
		body, err = io.ReadAll(io.LimitReader(res.Body, adminAnswerSize))
		return res.StatusCode, body, err
	case res.StatusCode == http.StatusUnauthorized:
		return 0, nil, fmt.Errorf("%s requires the token of admin.token_file; give its file with --token-file", c.Base)
	}
	return 0, nil, fmt.Errorf("%s answers %s; is it roamproxy's admin.listen?", c.Base, res.Status)
}

// Close closes idle connections.
func (c *AdminClient) Close() { c.transport.CloseIdleConnections() }
