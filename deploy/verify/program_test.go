package verify

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// program returns the path of a program that a test runs. If it is missing the test is skipped; where CI is set it fails instead.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	switch {
	case err != nil && os.Getenv("CI") != "":
		t.Fatalf("this test runs %s, and it is not here: %v", name, err)
	case err != nil:
		t.Skipf("left out: it runs %s, and that is not here", name)
	}
	return path
}

// run fails the test when the command does.
func run(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", cmd, err, out)
	}
}

// read returns a file of the repository.
func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("../..", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// building lets one test compile roamproxy and the others find it in Go's cache.
var building sync.Mutex

// secretFile is a setting that names a file, which exists in the container alone.
var secretFile = regexp.MustCompile(`([a-z]+_file: )(/\S+)`)

// accepts fails the test when roamproxy refuses a configuration. The files of secrets that it names are made up.
func accepts(t *testing.T, name, configuration string) {
	t.Helper()
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte(strings.Repeat("secret", 6)), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "roamproxy.yaml")
	if err := os.WriteFile(path, []byte(secretFile.ReplaceAllString(configuration, "${1}"+secret)), 0o600); err != nil {
		t.Fatal(err)
	}
	building.Lock()
	defer building.Unlock()
	cmd := exec.Command("go", "run", "./cmd/roamproxy", "check", "-config", path)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "ROAM_API_KEY=rmk-test", "STATE_DIRECTORY="+filepath.Join(dir, "state"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("roamproxy refuses the configuration of %s: %v\n%s", name, err, out)
	}
}
