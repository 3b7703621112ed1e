// Command compare runs the five jobs of make jobs, a flood of writes beside a calm tool, and writes whose answers are lost, in front
// of the same strict Roam: with roamproxy, with nginx, with bottleneck, and with clients that only wait and repeat. It prints the
// machine and tables of medians in Markdown.
//
//	go run ./deploy/bench/compare            everything, in six minutes
//	go run ./deploy/bench/compare -quote     the same, and the tables in the documents are replaced
//	go run ./deploy/bench/compare -speed 1   at Roam's own pace, which takes twice as long
//
// It wants nginx, node and npm (Debian: nginx-light, nodejs, npm). Everything listens on loopback, and ends with the command.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		cancel()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	speeds := []int{1, 2, 5, 10} // they divide Roam's Retry-After of 10 s, which is a whole number of seconds
	o := options{programs: allPrograms(), messages: 5}
	flags := flag.NewFlagSet("compare", flag.ContinueOnError)
	flags.SetOutput(progress)
	flags.IntVar(&o.speed, "speed", 2, "how much faster than Roam's clock everything runs: 1, 2, 5 or 10")
	flags.IntVar(&o.flood, "flood", 200, "writes of the flood")
	flags.StringVar(&o.binary, "binary", "", "a roamproxy that is built already")
	rounds := flags.Int("rounds", 3, "how often everything is measured; figures are medians")
	names := flags.String("jobs", strings.Join(jobNames(), ","), "which jobs")
	quote := flags.Bool("quote", false, "replace the tables in README.md and deploy/bench/README.md; run at the root of the repository")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if !slices.Contains(speeds, o.speed) || *rounds < 1 || o.flood < 1 {
		return fmt.Errorf("want a speed of %v, at least one round, and a flood of at least one write", speeds)
	}
	chosen, err := chooseJobs(strings.Split(*names, ","))
	if err != nil {
		return err
	}
	if o.dir, err = os.MkdirTemp("", "roamproxy-compare-"); err != nil {
		return err
	}
	defer os.RemoveAll(o.dir)
	if err := prepare(ctx, &o); err != nil {
		return err
	}
	var all results
	for round := range *rounds {
		fmt.Fprintf(progress, "round %d of %d\n", round+1, *rounds)
		measured, err := measureAll(ctx, o, chosen)
		if err != nil {
			return err
		}
		all = append(all, measured...)
	}
	full := fmt.Sprintf("%s; Roam's pace × %d, medians of %d rounds (least–greatest).\n\n%s",
		machine(ctx), o.speed, *rounds, all.tables(chosen))
	short := all.summary(o)
	fmt.Fprint(out, full, "\n", short)
	if !*quote {
		return nil
	}
	if err := replace("deploy/bench/README.md", full); err != nil {
		return err
	}
	return replace("README.md", short)
}
