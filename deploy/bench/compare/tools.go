package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"

	"roamproxy/proxy/roamtest"
)

// toolOptions is the argument of tool.js.
type toolOptions struct {
	Job        string   `json:"job"`
	Tools      []int    `json:"tools"`
	Base       string   `json:"base"`
	Tokens     []string `json:"tokens"` // of each tool
	Speed      int      `json:"speed"`
	Timeout    int      `json:"timeout"` // of one attempt, in seconds of Roam's time
	Bottleneck bool     `json:"bottleneck"`
	Idempotent bool     `json:"idempotent"`
	Flood      int      `json:"flood"`
	Messages   []string `json:"messages"`
}

// counts is what one tool reports. Times are in seconds of Roam's time.
type counts struct {
	Asked         int
	Failed        []string // messages that were given up
	Longest, Took float64
}

// How long tools wait for an answer: as roamproxy and nginx wait for Roam, and behind a queue longer than any.
const (
	directTimeout = 30
	queueTimeout  = 600
)

// measure runs one job with one program, from a full bucket to the end of the last tool. It calls awaitOthers when all its processes
// have started.
func measure(ctx context.Context, o options, p program, j job, awaitOthers func()) (result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	u := newUpstream(o.speed)
	defer u.close()
	texts := messages(o.messages)
	to := toolOptions{
		Job: j.name, Base: "http://" + u.addr(), Tokens: slices.Repeat([]string{roamtest.DefaultKey}, len(toolTokens())),
		Speed: o.speed, Timeout: directTimeout, Bottleneck: p.bottleneck, Idempotent: p.idempotent, Flood: o.flood, Messages: texts,
	}
	if p.start != nil {
		s, err := settingFor(o, u)
		if err != nil {
			return result{}, err
		}
		between, err := p.start(ctx, o, s)
		if err != nil {
			return result{}, err
		}
		defer func() { cancel(); <-between.ended }()
		to.Base, to.Tokens, to.Timeout = "http://"+between.addr, toolTokens(), queueTimeout
	}
	tools, err := runTools(ctx, o, to, j.tools, awaitOthers)
	if err != nil {
		return result{}, err
	}
	return newResult(j.name, p.name, tools, u, texts), nil
}

// runTools runs the n tools of a job, each as a process of its own unless they share a limiter. They begin after awaitOthers.
func runTools(ctx context.Context, o options, to toolOptions, n int, awaitOthers func()) ([]counts, error) {
	var numbers []int
	for number := range n {
		numbers = append(numbers, number)
	}
	processes := slices.Collect(slices.Chunk(numbers, 1))
	if to.Bottleneck {
		processes = [][]int{numbers}
	}
	var started []*toolProcess
	defer func() {
		for _, p := range started {
			p.cmd.Process.Kill()
			p.cmd.Wait()
		}
	}()
	for _, to.Tools = range processes {
		p, err := startTools(ctx, o, to)
		if err != nil {
			return nil, err
		}
		started = append(started, p)
	}
	for _, p := range started {
		if err := p.ready(); err != nil {
			return nil, err
		}
	}
	awaitOthers()
	for _, p := range started {
		p.begin.Close()
	}
	var all []counts
	for _, p := range started {
		tools, err := p.counts()
		if err != nil {
			return nil, err
		}
		all = append(all, tools...)
	}
	return all, nil
}

// toolProcess is a process of tool.js.
type toolProcess struct {
	cmd    *exec.Cmd
	begin  io.Closer // when it is closed the tools begin
	lines  *bufio.Reader
	errors bytes.Buffer // complete once the process has ended
}

func startTools(ctx context.Context, o options, to toolOptions) (*toolProcess, error) {
	text, err := json.Marshal(to)
	if err != nil {
		return nil, err
	}
	p := &toolProcess{cmd: exec.CommandContext(ctx, "node", filepath.Join(o.dir, "tool.js"), string(text))}
	p.cmd.Stderr = &p.errors
	if p.begin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.lines = bufio.NewReader(out)
	return p, p.cmd.Start()
}

// ready returns when the tools can begin.
func (p *toolProcess) ready() error {
	if line, err := p.lines.ReadString('\n'); line != "ready\n" {
		return p.failure(err)
	}
	return nil
}

// counts returns what the tools report in the end.
func (p *toolProcess) counts() (tools []counts, err error) {
	if err := json.NewDecoder(p.lines).Decode(&tools); err != nil {
		return nil, p.failure(err)
	}
	return tools, nil
}

func (p *toolProcess) failure(err error) error {
	p.cmd.Process.Kill()
	p.cmd.Wait()
	return fmt.Errorf("tool.js: %w\n%s", err, &p.errors)
}
