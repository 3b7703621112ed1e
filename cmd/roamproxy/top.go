package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"roamproxy/metrics/status"
)

type topCmd struct {
	URL       string        `help:"The admin address of a running roamproxy." default:"http://127.0.0.1:9090" placeholder:"URL"`
	TokenFile string        `help:"A file with the token of admin.token_file, where there is one." placeholder:"FILE"`
	Every     time.Duration `help:"How often the picture is drawn, on a terminal." default:"1s" placeholder:"DURATION"`
}

// Run draws in place on a terminal until it is interrupted, and once elsewhere.
func (c topCmd) Run(p *program) error {
	token := ""
	if c.TokenFile != "" {
		content, err := os.ReadFile(c.TokenFile)
		if err != nil {
			return fmt.Errorf("the token cannot be read: %w", err)
		}
		token = strings.TrimSpace(string(content))
	}
	direct := &http.Transport{} // straight there, whatever HTTP_PROXY says
	defer direct.CloseIdleConnections()
	ask := func(ctx context.Context) (status.Status, error) {
		return askStatus(ctx, direct, strings.TrimRight(c.URL, "/")+"/api/status?history", token)
	}
	file, ok := p.out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		s, err := ask(p.ctx)
		if err != nil {
			return err
		}
		_, err = io.WriteString(p.out, topPicture(s, 100))
		return err
	}
	width := func() int {
		if w, _, err := term.GetSize(int(file.Fd())); err == nil {
			return w
		}
		return 100
	}
	return watchTop(p.ctx, p.out, ask, width, max(c.Every, 100*time.Millisecond))
}

// topWait bounds one question; statusSize bounds its answer, which has about 60 KiB.
const (
	topWait    = 5 * time.Second
	statusSize = 4 << 20
)

func askStatus(ctx context.Context, through http.RoundTripper, url, token string) (s status.Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, topWait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return s, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := through.RoundTrip(req)
	if err != nil {
		return s, fmt.Errorf("no roamproxy answers there: %w; -url names its admin.listen", err)
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
		err = json.NewDecoder(io.LimitReader(res.Body, statusSize)).Decode(&s)
		return s, err
	case http.StatusUnauthorized:
		return s, fmt.Errorf("%s wants the token of admin.token_file; give its file with -token-file", url)
	}
	return s, fmt.Errorf("%s answers %s; is it roamproxy's admin.listen?", url, res.Status)
}

// watchTop draws again and again, over what it drew before. When nobody answers it says so, keeps the last picture, and goes on.
func watchTop(ctx context.Context, out io.Writer, ask func(context.Context) (status.Status, error), width func() int, every time.Duration) error {
	const clear, home, restOfLine, restOfScreen = "\x1b[2J", "\x1b[H", "\x1b[K", "\x1b[J"
	fmt.Fprint(out, clear)
	tick := time.NewTicker(every)
	defer tick.Stop()
	picture := ""
	for {
		s, err := ask(ctx)
		note := ""
		if err == nil {
			picture = topPicture(s, width())
		} else if ctx.Err() == nil {
			note = "\n" + cut(plain("not connected: "+err.Error()), width()) + "\n"
		}
		fmt.Fprint(out, home, strings.ReplaceAll(picture+note, "\n", restOfLine+"\n"), restOfScreen)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
