// Command roamproxy is a local HTTP proxy for the Roam HQ API. It adds the credential, sends the calls of all tools through one shared
// quota in a fair order, and answers repeated reads from a cache.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		signal.Ignore(syscall.SIGHUP) // until serve handles it: a reload request that comes too early must not end the process
	}
	server.Harden()
	log.SetOutput(io.Discard) // net/http writes an upstream's bytes there; serve filters them into its own log
	os.Exit(run(untilSignal(), os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// untilSignal returns a context that SIGINT or SIGTERM ends. From that moment on, another of these signals ends the process at once.
func untilSignal() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		signal.Stop(signals) // before cancel: signal.NotifyContext would still catch a second signal for a moment
		cancel()
	}()
	return ctx
}

// program is what a command gets from the process.
type program struct {
	ctx    context.Context
	getenv func(string) string
	in     io.Reader
	out    io.Writer
	err    io.Writer
}

type commands struct {
	Serve      serveCmd      `cmd:"" help:"Run the proxy. With ROAM_API_KEY set it needs no file."`
	Demo       demoCmd       `cmd:"" help:"Compare three tools on a simulated Roam, without and with the proxy."`
	Simulate   simulateCmd   `cmd:"" help:"Run the simulated Roam API alone."`
	Check      checkCmd      `cmd:"" help:"Check the configuration, and print each effective value with its origin."`
	Login      loginCmd      `cmd:"" help:"Get the first refresh token of an OAuth credential, with a browser on this or another machine."`
	Token      tokenCmd      `cmd:"" help:"Create a token for a tool, and print the lines for the configuration."`
	Health     healthCmd     `cmd:"" help:"Exit 0 if the running roamproxy is alive."`
	Top        topCmd        `cmd:"" help:"Show tokens, queue, tools and cache of the running roamproxy in the terminal."`
	Reload     reloadCmd     `cmd:"" help:"Make the running roamproxy read its configuration again."`
	Pause      pauseCmd      `cmd:"" help:"Pause the quotas of the running roamproxy for a time."`
	Resume     resumeCmd     `cmd:"" help:"End the pause of the running roamproxy's quotas."`
	Purge      purgeCmd      `cmd:"" help:"Remove cached answers of the running roamproxy."`
	Webhook    webhookCmd    `cmd:"" help:"Add, list or remove subscriptions to Roam's webhooks, through the running roamproxy."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
	Completion completionCmd `cmd:"" help:"Print the shell completion."`
	Man        manCmd        `cmd:"" help:"Print the manual page."`
}

const description = `One quota of the Roam HQ API, shared fairly by all your tools.

    ROAM_API_KEY=… roamproxy serve
    curl http://127.0.0.1:8080/v1/groups.list

Settings come from flags, then ROAMPROXY_… variables, then the file (-config or ROAMPROXY_CONFIG), then defaults.`

// The exit codes: success, an error, and a wrong command line.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

// run is the whole program, except for what only a process has. Tests call it.
func run(ctx context.Context, args []string, getenv func(string) string, out, err io.Writer) (code int) {
	var c commands
	exited := errors.New("exited")
	defer func() {
		if p := recover(); p != nil && p != exited { // kong ends the process after --help; here it ends run
			panic(p)
		}
	}()
	parser, problem := kong.New(&c, kong.Name("roamproxy"), kong.Description(description), kong.Writers(out, err), kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.Exit(func(n int) { code = n; panic(exited) }))
	if problem != nil {
		fmt.Fprintln(err, "roamproxy:", problem)
		return exitUsage
	}
	switch {
	case len(args) == 0, args[0] == "help":
		args = append(slices.Clone(args[min(1, len(args)):]), "--help")
	case args[0] == "--version", args[0] == "-version":
		args = []string{"version"}
	}
	chosen, problem := parser.Parse(twoDashes(args))
	if problem != nil {
		fmt.Fprintf(err, "roamproxy: %s; roamproxy --help lists commands and flags\n", problem)
		return exitUsage
	}
	if problem := chosen.Run(&program{ctx, getenv, os.Stdin, out, err}, parser); problem != nil {
		for line := range strings.Lines(problem.Error()) {
			fmt.Fprintln(err, "roamproxy:", strings.TrimRight(line, "\n"))
		}
		return exitError
	}
	return exitOK
}

// twoDashes makes -config mean --config, as in Go's own programs.
func twoDashes(args []string) []string {
	out := make([]string, len(args))
	for i, a := range args {
		if len(a) > 2 && a[0] == '-' && a[1] != '-' {
			a = "-" + a
		}
		out[i] = a
	}
	return out
}

type versionCmd struct{}

// Run prints one line.
func (versionCmd) Run(p *program) error {
	version, revision := server.Version()
	fmt.Fprintf(p.out, "roamproxy %s (%s, %s %s/%s)\n", version, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}

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

// client returns a client for the admin listener.
func (f adminFlags) client(p *program) (*server.AdminClient, error) {
	base, file, err := f.find(p)
	if err != nil {
		return nil, err
	}
	c := &server.AdminClient{Base: base}
	if file != "" {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("the token cannot be read: %w", err)
		}
		c.Token = strings.TrimSpace(string(content))
	}
	return c, nil
}

// actWait is enough time for a reload, which may read files and resolve a name.
const actWait = 30 * time.Second

// act sends a POST and prints the answer.
func (f adminFlags) act(p *program, path string, query url.Values) error {
	c, err := f.client(p)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(p.ctx, actWait)
	defer cancel()
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	code, body, err := c.Do(ctx, http.MethodPost, path)
	if err != nil {
		return err
	}
	if code != http.StatusOK {
		return fmt.Errorf("nothing was changed: %s", strings.TrimSpace(string(body)))
	}
	_, err = p.out.Write(body)
	return err
}
