package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"roamproxy/proxy/roamtest/redistest"
)

// In a container of 128 MiB, with the default cache, a flood of large answers that are all cached does not exhaust the memory. The kernel
// enforces the limit where the test may make a control group. Elsewhere GOMEMLIMIT does, and the test measures the process.
//
// Seen to fail without a limit for the collector (killed at 128 MiB).
func TestAFloodFitsIntoAContainer(t *testing.T) {
	t.Parallel()
	const container, answers, size = 128 << 20, 1000, 128 << 10
	body := `[{"name":"` + strings.Repeat("x", size) + `"}]`
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, body) }))
	defer upstream.Close()
	program := filepath.Join(t.TempDir(), "roamproxy") // without the race detector, which takes several times the memory
	if out, err := exec.Command(redistest.Program(t, "go"), "build", "-o", program, "roamproxy/cmd/roamproxy").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := prepare(t, upstream.URL, t.TempDir(), inFile(t, `{quotas: [{name: roam, rate: 10000, burst: 10000}]}`))
	cmd.Path = program
	if procs := controlGroup(t, container); procs != "" {
		cmd.Path, cmd.Args = "/bin/sh", append([]string{"sh", "-c", `echo $$ > "$0" && exec "$@"`, procs, program}, cmd.Args[1:]...)
	} else {
		t.Log("no control group can be made here")
		cmd.Env = append(cmd.Env, fmt.Sprint("GOMEMLIMIT=", container*85/100))
	}
	r := begin(t, cmd)
	c := client(t)
	var all sync.WaitGroup
	for caller := range 8 {
		all.Go(func() {
			for i := caller; i < answers; i += 8 {
				res, err := c.Get(r.base + "/v1/groups.list?page=" + strconv.Itoa(i))
				if err != nil {
					t.Errorf("call %d: %v", i, err)
					return
				}
				n, err := io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if err != nil || res.StatusCode != 200 || n != int64(len(body)) {
					t.Errorf("call %d: %s with %d bytes (%v), want all %d", i, res.Status, n, err, len(body))
				}
			}
		})
	}
	all.Wait()
	most := resident(t, r.Process.Pid)
	if most > container {
		t.Errorf("it used %d MiB, want at most %d", most>>20, container>>20)
	}
	if res, ready := get(t, c, r.admin+"/readyz"); res.StatusCode != 200 {
		t.Errorf("readyz: %d %s, want 200", res.StatusCode, ready)
	}
	t.Logf("at most %d MiB", most>>20)
}

// controlGroup makes a control group with so many bytes of memory, of either version. It returns the file for the processes in it, or ""
// where it may not make one.
func controlGroup(t *testing.T, memory int) (procs string) {
	for limit, swap := range map[string]string{"/sys/fs/cgroup/*/memory.max": "memory.swap.max",
		"/sys/fs/cgroup/memory/*/memory.limit_in_bytes": "memory.swappiness"} {
		limit = strings.Replace(limit, "*", fmt.Sprint("roamproxy-test-", os.Getpid()), 1)
		dir := filepath.Dir(limit)
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { os.Remove(dir) })
		if bounds, err := os.OpenFile(limit, os.O_WRONLY, 0); err == nil { // the kernel makes it
			fmt.Fprint(bounds, memory)
			bounds.Close()
			os.WriteFile(filepath.Join(dir, swap), []byte("0"), 0o644) // where there is swap
			return filepath.Join(dir, "cgroup.procs")
		}
	}
	return ""
}

// resident returns the most memory that a process has used, in bytes.
func resident(t *testing.T, pid int) (most int) {
	t.Helper()
	status := readFile(t, fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(status) {
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &most); n == 1 {
			return most << 10
		}
	}
	t.Fatalf("VmHWM is not in %s", status)
	return 0
}
