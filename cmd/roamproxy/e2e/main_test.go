// Package e2e tests roamproxy as a whole: on real sockets, in processes of its own, with the programs that it works with.
package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	syscall.Umask(0o022) // tests have state directories, which others may not write
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if dir := os.Getenv(builtDir); dir != "" {
			os.RemoveAll(dir)
		}
		os.Exit(code)
	}))
}

// builtDir is the environment variable with the folder of the built program.
const builtDir = "ROAMPROXY_TEST_BUILT"

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "roamproxy-e2e-")
	if err != nil {
		return "", err
	}
	os.Setenv(builtDir, dir)
	path := filepath.Join(dir, "roamproxy")
	args := []string{"build", "-o", path}
	if raceDetector {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "roamproxy/cmd/roamproxy")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return path, nil
})

// program returns the path of roamproxy. It is built once for all tests, with the race detector if they have it.
func program(t *testing.T) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// invoke runs a command to its end and returns its exit code and both outputs. env is its whole environment.
func invoke(t *testing.T, env []string, args ...string) (code int, out, err string) {
	t.Helper()
	var o, e bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program(t), args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &o, &e
	if cmd.Run(); cmd.ProcessState == nil {
		t.Fatalf("%s did not run", cmd)
	}
	return cmd.ProcessState.ExitCode(), o.String(), e.String()
}
