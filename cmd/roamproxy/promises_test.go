package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every row of the tables that name tests has a test, and every test in them exists. Seen to fail with the name of a renamed test.
func TestEveryPromiseHasItsTests(t *testing.T) {
	defined := make(map[string]bool)
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir("../..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, found := range function.FindAllSubmatch(source, -1) {
			defined[string(found[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile("`((?:Test|Fuzz)\\w+)`")
	for file, rows := range map[string]string{"../../ARCHITECTURE.md": `(?m)^\| \d+\. .*$`, "../../proxy/PITFALLS.md": `(?m)^\| \d+ \|.*$`} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(rows).FindAll(text, -1)
		if len(found) < 10 {
			t.Errorf("%s has %d rows, want a table", file, len(found))
		}
		for _, row := range found {
			if !name.Match(row) {
				t.Errorf("%s names no test: %s", file, row)
			}
		}
		for _, found := range name.FindAllSubmatch(text, -1) {
			if !defined[string(found[1])] {
				t.Errorf("%s names %s, and there is no such test", file, found[1])
			}
		}
	}
}
