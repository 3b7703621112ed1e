// Command roamproxy stands in front of the Roam HQ API: it adds the credential, sends all tools' calls through one shared
// quota in a fair order, and answers repeated reads from a cache.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"roamproxy/cmd/roamproxy/server"

	"github.com/alecthomas/kong"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		signal.Ignore(syscall.SIGHUP) // until serve listens to it: a reload that is asked for too early must not end the process
	}
	server.Harden()
	log.SetOutput(io.Discard) // net/http quotes an upstream's bytes there; serve takes it into a log of its own
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// program is what the commands get from the process.
type program struct {
	ctx    context.Context
	getenv func(string) string
	in     io.Reader
	out    io.Writer
	err    io.Writer
}

type commands struct {
	Serve      serveCmd      `cmd:"" help:"Run the proxy. With ROAM_API_KEY set it needs no file."`
	Demo       demoCmd       `cmd:"" help:"See what it is for: a simulated Roam and three tools, without the proxy and with it. Takes under a minute and no key."`
	Simulate   simulateCmd   `cmd:"" help:"Run the simulated Roam API alone."`
	Check      checkCmd      `cmd:"" help:"Read and check the configuration, and print what is in force and where each value comes from."`
	Login      loginCmd      `cmd:"" help:"Obtain the first refresh token of an OAuth credential, with a browser here or elsewhere."`
	Token      tokenCmd      `cmd:"" help:"Make a token for a tool, and print the lines for the configuration."`
	Health     healthCmd     `cmd:"" help:"Ask the running roamproxy whether it lives."`
	Top        topCmd        `cmd:"" help:"Watch the running roamproxy in the terminal: tokens, queue, tools, cache."`
	Reload     reloadCmd     `cmd:"" help:"Have the running roamproxy read its configuration again."`
	Pause      pauseCmd      `cmd:"" help:"Hold all calls of the running roamproxy for a while, deliberately."`
	Resume     resumeCmd     `cmd:"" help:"End the pause of the running roamproxy's quotas."`
	Purge      purgeCmd      `cmd:"" help:"Remove cached answers of the running roamproxy."`
	Webhook    webhookCmd    `cmd:"" help:"Subscribe to Roam's webhooks, list or end subscriptions, by way of the running roamproxy."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
	Completion completionCmd `cmd:"" help:"Print the completion of commands and flags for a shell."`
	Man        manCmd        `cmd:"" help:"Print the manual page."`
}

const description = `One quota of the Roam HQ API, shared fairly by all your tools.

    ROAM_API_KEY=… roamproxy serve
    curl http://127.0.0.1:8080/v1/groups.list

Settings come from flags, then ROAMPROXY_… variables, then the file (-config or ROAMPROXY_CONFIG), then defaults.`

// The exit codes: all went well, something is wrong, the command line is wrong.
const (
	exitOK    = 0
	exitWrong = 1
	exitUsage = 2
)

// run is the program; main is only what a process has besides.
func run(ctx context.Context, args []string, getenv func(string) string, out, err io.Writer) (code int) {
	var c commands
	exited := errors.New("exited")
	defer func() {
		if p := recover(); p != nil && p != exited { // kong ends the program after --help; this is the end that a test can see
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
		fmt.Fprintf(err, "roamproxy: %s; roamproxy --help lists what there is\n", problem)
		return exitUsage
	}
	if problem := chosen.Run(&program{ctx, getenv, os.Stdin, out, err}, parser); problem != nil {
		for line := range strings.Lines(problem.Error()) {
			fmt.Fprintln(err, "roamproxy:", strings.TrimRight(line, "\n"))
		}
		return exitWrong
	}
	return exitOK
}

// twoDashes lets -config mean --config, as Go's own programs have it.
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
