package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/metrics/status"
)

// adminFlags locate the admin listener of the running roamproxy. Without them it is found as serve finds it.
type adminFlags struct {
	URL         string `help:"Admin address of the running roamproxy; default: that of its configuration." placeholder:"URL"`
	Config      string `help:"Configuration file of the running roamproxy." placeholder:"FILE"`
	AdminListen string `help:"The same as for serve." placeholder:"ADDR"`
	TokenFile   string `help:"A file with the admin token; default: admin.token_file." placeholder:"FILE"`
}

// find returns the base URL of the admin listener, and the path of the file with its token or "".
func (f adminFlags) find(p *program) (base, tokenFile string, err error) {
	if f.URL != "" {
		return strings.TrimRight(f.URL, "/"), f.TokenFile, nil
	}
	c, err := config.Peek(f.Config, p.getenv, []config.Override{{Key: "admin.listen", Value: f.AdminListen, Source: "--admin-listen"}})
	if err != nil {
		return "", "", err
	}
	if f.TokenFile != "" {
		c.Admin.TokenFile = f.TokenFile
	}
	return "http://" + config.Dialable(c.Admin.Listen), c.Admin.TokenFile, nil
}

// client returns a client for the admin listener. It connects directly, without HTTP_PROXY.
func (f adminFlags) client(p *program) (*adminClient, error) {
	base, file, err := f.find(p)
	if err != nil {
		return nil, err
	}
	c := &adminClient{base: base, transport: &http.Transport{}}
	if file != "" {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("the token cannot be read: %w", err)
		}
		c.token = strings.TrimSpace(string(content))
	}
	return c, nil
}

type adminClient struct {
	base, token string
	transport   *http.Transport
}

// answerSize bounds an answer of the admin listener in bytes. The largest, the status, has about 60 KiB.
const answerSize = 4 << 20

// do sends a request, and returns the status and the body of an answer of roamproxy.
func (c *adminClient) do(ctx context.Context, method, path string) (code int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, nil)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set(status.ActionHeader, "yes")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
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
		body, err = io.ReadAll(io.LimitReader(res.Body, answerSize))
		return res.StatusCode, body, err
	case res.StatusCode == http.StatusUnauthorized:
		return 0, nil, fmt.Errorf("%s requires the token of admin.token_file; give its file with --token-file", c.base)
	}
	return 0, nil, fmt.Errorf("%s answers %s; is it roamproxy's admin.listen?", c.base, res.Status)
}

type healthCmd struct {
	adminFlags
}

// healthWait is shorter than the timeout that container engines give a health check.
const healthWait = 3 * time.Second

// Run exits without an error if the running roamproxy answers /healthz.
func (h healthCmd) Run(p *program) error {
	ctx, cancel := context.WithTimeout(p.ctx, healthWait)
	defer cancel()
	base, _, err := h.find(p)
	if err != nil {
		return err
	}
	c := &adminClient{base: strings.TrimSuffix(base, "/healthz"), transport: &http.Transport{}}
	defer c.transport.CloseIdleConnections()
	code, _, err := c.do(ctx, http.MethodGet, "/healthz")
	if err != nil {
		return fmt.Errorf("not healthy: %w", err)
	}
	if code != http.StatusOK {
		return fmt.Errorf("not healthy: %s answers %d", c.base, code)
	}
	fmt.Fprintln(p.out, "healthy")
	return nil
}

// actWait is enough time for a reload, which may read files and resolve a name.
const actWait = 30 * time.Second

// act sends a POST and prints the answer.
func (f adminFlags) act(p *program, path string, query url.Values) error {
	c, err := f.client(p)
	if err != nil {
		return err
	}
	defer c.transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(p.ctx, actWait)
	defer cancel()
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	code, body, err := c.do(ctx, http.MethodPost, path)
	if err != nil {
		return err
	}
	if code != http.StatusOK {
		return fmt.Errorf("nothing was changed: %s", strings.TrimSpace(string(body)))
	}
	_, err = p.out.Write(body)
	return err
}

type reloadCmd struct {
	adminFlags
}

// Run makes the running roamproxy read its configuration again.
func (c reloadCmd) Run(p *program) error { return c.act(p, "/-/reload", nil) }

type pauseCmd struct {
	adminFlags
	Max   time.Duration `help:"Longest duration of the pause, which ends by itself." default:"10m" placeholder:"DURATION"`
	Quota string        `help:"Only this quota; default: all." placeholder:"NAME"`
}

// Run pauses quotas of the running roamproxy.
func (c pauseCmd) Run(p *program) error {
	query := quotaQuery(c.Quota)
	query.Set("max", c.Max.String())
	return c.act(p, "/api/pause", query)
}

type resumeCmd struct {
	adminFlags
	Quota       string `help:"Only this quota; default: all." placeholder:"NAME"`
	ForgetLimit bool   `help:"Also reset the adaptive limit to the configured one."`
}

// Run ends the pause of quotas in the running roamproxy.
func (c resumeCmd) Run(p *program) error {
	query := quotaQuery(c.Quota)
	if c.ForgetLimit {
		query.Set("forget", "limit")
	}
	return c.act(p, "/api/resume", query)
}

func quotaQuery(name string) url.Values {
	query := url.Values{}
	if name != "" {
		query.Set("quota", name)
	}
	return query
}

type purgeCmd struct {
	adminFlags
	Pattern string `arg:"" help:"Routes, such as /v1/group*."`
}

// Run removes cached answers of the running roamproxy.
func (c purgeCmd) Run(p *program) error {
	return c.act(p, "/api/purge", url.Values{"match": {c.Pattern}})
}
