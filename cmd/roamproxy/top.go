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

	"roamproxy/cmd/roamproxy/server"
	"roamproxy/metrics/status"
)

type topCmd struct {
	adminFlags
	Every time.Duration `help:"How often the screen is redrawn, on a terminal." default:"1s" placeholder:"DURATION"`
}

// Run redraws the terminal until it is interrupted. Without a terminal it prints the status once.
func (c topCmd) Run(p *program) error {
	admin, err := c.client(p)
	if err != nil {
		return err
	}
	defer admin.transport.CloseIdleConnections()
	ask := func(ctx context.Context) (status.Status, error) { return askStatus(ctx, admin) }
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

// topWait bounds one request.
const topWait = 5 * time.Second

func askStatus(ctx context.Context, admin *adminClient) (s status.Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, topWait)
	defer cancel()
	_, body, err := admin.do(ctx, http.MethodGet, "/api/status?history")
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(body, &s)
}

// watchTop redraws the status again and again. While roamproxy does not answer it shows an error below the last status.
func watchTop(ctx context.Context, out io.Writer, ask func(context.Context) (status.Status, error), width func() int,
	every time.Duration) error {
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
			note = "\n" + cut(server.PlainText("not connected: "+err.Error()), width()) + "\n"
		}
		fmt.Fprint(out, home, strings.ReplaceAll(picture+note, "\n", restOfLine+"\n"), restOfScreen)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
