package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// options is what all measurements have in common.
type options struct {
	programs []program
	speed    int    // how much faster than Roam's clock everything runs
	flood    int    // writes of the flood
	messages int    // that meet each fault
	binary   string // roamproxy
	dir      string // for everything that is written
}

// job is a job of tool.js.
type job struct {
	name  string
	tools int
}

// Jobs with figures of their own.
const (
	flood  = "flood"
	faults = "faults"
)

// allJobs returns the five of make jobs, and two that show what happens when things go wrong.
func allJobs() []job {
	return []job{{"stand-up", 3}, {"transcript-export", 2}, {"dashboards", 3}, {"scim-sync", 2}, {"agents", 3}, {flood, 2}, {faults, 1}}
}

// isTypical reports whether a job is one of the five.
func (j job) isTypical() bool { return j.name != flood && j.name != faults }

func jobNames() (names []string) {
	for _, j := range allJobs() {
		names = append(names, j.name)
	}
	return names
}

// chooseJobs returns the jobs of these names.
func chooseJobs(names []string) (chosen []job, err error) {
	jobs := allJobs()
	for _, name := range names {
		i := slices.IndexFunc(jobs, func(j job) bool { return j.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no job %q; the jobs are %s", name, strings.Join(jobNames(), ", "))
		}
		chosen = append(chosen, jobs[i])
	}
	return chosen, nil
}

// measureAll measures each job with every program. All run beside each other, so that what else the machine does slows all of them.
// They begin when all processes have started, because that takes more of the machine than the jobs do.
func measureAll(ctx context.Context, o options, jobs []job) (results, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var lock sync.Mutex // guards measured
	var measured results
	var all, ready sync.WaitGroup
	begin := make(chan struct{})
	for _, j := range jobs {
		for _, p := range o.programs {
			if p.idempotent && j.name != faults {
				continue
			}
			ready.Add(1)
			all.Go(func() {
				isReady := sync.OnceFunc(ready.Done)
				defer isReady() // if it fails, the others end as well
				r, err := measure(ctx, o, p, j, func() { isReady(); <-begin })
				if err != nil {
					cancel(fmt.Errorf("%s with %s: %w", j.name, p.name, err)) // the first error counts
				}
				lock.Lock()
				defer lock.Unlock()
				measured = append(measured, r)
			})
		}
	}
	ready.Wait()
	close(begin)
	all.Wait()
	return measured, context.Cause(ctx)
}

// prepare builds roamproxy, installs bottleneck unless NODE_PATH has it, and writes tool.js.
func prepare(ctx context.Context, o *options) error {
	if o.binary == "" {
		o.binary = filepath.Join(o.dir, "roamproxy")
		if err := command(ctx, "go", "build", "-o", o.binary, "roamproxy/cmd/roamproxy"); err != nil {
			return err
		}
	}
	if os.Getenv("NODE_PATH") == "" || command(ctx, "node", "-e", "require('bottleneck')") != nil {
		err := command(ctx, "npm", "install", "--silent", "--no-save", "--ignore-scripts", "--prefix", o.dir, bottleneckPackage)
		if err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(o.dir, "tool.js"), toolScript, 0o600)
}

// command runs a program. If it fails, the error has its output.
func command(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}
