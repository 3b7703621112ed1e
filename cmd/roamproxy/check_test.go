package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The last line of check is the result; with -q it is the only one.
func TestCheckEndsWithAResult(t *testing.T) {
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "roamproxy.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	sum := strings.Repeat("ab", 32)
	good, bad, worse := file("tools: [{name: a, token_sha256: "+sum+"}]\n"), file("listn: x\n"), file("listn: x\nopne: true\n")
	key := file("credentials: [{name: org, api_key_file: /nonexistent/key}]\n")
	for _, tt := range []struct {
		name  string
		args  []string
		code  int
		last  string
		whole bool // the result is the only line
	}{
		{"all is well", []string{"-config", good}, exitOK, "ok: 1 tool, 1 quota, " + good, false},
		{"quiet", []string{"-q", "-config", good}, exitOK, "ok: 1 tool, 1 quota, " + good, true},
		{"no file", []string{"-q"}, exitOK, "ok: 0 tools, 1 quota, no file", true},
		{"a mistake", []string{"-config", bad}, exitError, "roamproxy: 1 error", false},
		{"two, quiet", []string{"-q", "-config", worse}, exitError, "roamproxy: 2 errors", true},
		{"a key on another machine", []string{"-q", "-no-files", "-config", key}, exitOK, "ok: 0 tools, 1 quota, " + key, true},
		{"a key that is not there", []string{"-q", "-config", key}, exitError, "roamproxy: 1 error", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, out, err := invoke(t, environ{"HOME": t.TempDir(), "ROAM_API_KEY": "rmk-x"}, append([]string{"check"}, tt.args...)...)
			said := strings.TrimRight(out+err, "\n")
			last := said[strings.LastIndex(said, "\n")+1:]
			if code != tt.code || last != tt.last || tt.whole && said != tt.last {
				t.Errorf("exit %d,\n%s\nwant %d, ending with %q", code, said, tt.code, tt.last)
			}
		})
	}
}
