package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
)

// machine names the machine, how busy it is, and the programs.
func machine(ctx context.Context) string {
	version := func(name, flag string) string {
		out, _ := exec.CommandContext(ctx, name, flag).CombinedOutput() // nginx writes it to stderr
		return strings.TrimPrefix(strings.TrimSpace(string(out)), "nginx version: ")
	}
	cpu := "unknown CPU"
	if model := regexp.MustCompile(`model name\s*: (.*)`).FindStringSubmatch(readFile("/proc/cpuinfo")); model != nil {
		cpu = model[1]
	}
	load := strings.Fields(readFile("/proc/loadavg"))
	return fmt.Sprintf("%s, %d cores, %s %s, load %s; %s, %s, node %s, %s", cpu, runtime.NumCPU(), runtime.GOOS,
		strings.TrimSpace(readFile("/proc/sys/kernel/osrelease")), strings.Join(load[:min(3, len(load))], " "), runtime.Version(),
		version("nginx", "-v"), version("node", "--version"), bottleneckPackage)
}

// readFile returns a file, or nothing.
func readFile(path string) string {
	text, _ := os.ReadFile(path)
	return string(text)
}
