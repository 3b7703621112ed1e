package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// documents returns all documents for people, by their path in the repository.
func documents(t *testing.T) map[string]string {
	t.Helper()
	texts := make(map[string]string)
	for _, pattern := range []string{"*.md", "deploy/*.md", "deploy/*/*.md", "proxy/*.md"} {
		paths, err := filepath.Glob(filepath.Join("../..", pattern))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %v, %v", pattern, paths, err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			texts[path] = string(text)
		}
	}
	return texts
}

// codeBlock matches a block of code, with its language and its content.
var codeBlock = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```")

// anchors returns the anchors that GitHub gives the headings of a document.
func anchors(text string) map[string]bool {
	found := make(map[string]bool)
	text = codeBlock.ReplaceAllString(text, "")
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		plain := regexp.MustCompile(`[^\pL\pN _-]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		found[strings.ReplaceAll(plain, " ", "-")] = true
	}
	return found
}

// Every link in a document leads to an existing file, and to an existing heading in it.
func TestLinksHaveTargets(t *testing.T) {
	texts := documents(t)
	for path, text := range texts {
		for _, link := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(codeBlock.ReplaceAllString(text, ""), -1) {
			if strings.Contains(link[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(link[1], "#")
			to := path
			if file != "" {
				to = filepath.Join(filepath.Dir(path), file)
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s links to %s: %v", path, link[1], err)
			} else if anchor != "" && !anchors(texts[to])[anchor] {
				t.Errorf("%s links to %s, and there is no such heading", path, link[1])
			}
		}
	}
}

// Every configuration in a document is valid.
func TestConfigurationsInTheDocumentsAreValid(t *testing.T) {
	key := func(name string) string {
		return map[string]string{"ROAM_API_KEY": "rmk-test", "HOME": t.TempDir()}[name]
	}
	count := 0
	for path, text := range documents(t) {
		for _, block := range codeBlock.FindAllStringSubmatch(text, -1) {
			if block[1] != "yaml" {
				continue
			}
			count++
			file := filepath.Join(t.TempDir(), "roamproxy.yaml")
			if err := os.WriteFile(file, []byte(block[2]), 0o600); err != nil {
				t.Fatal(err)
			}
			var out, problems bytes.Buffer
			if code := run(t.Context(), []string{"check", "-q", "-no-files", "-config", file}, key, &out, &problems); code != exitOK {
				t.Errorf("%s: exit %d, %s%s of\n%s", path, code, out.String(), problems.String(), block[2])
			}
		}
	}
	if count < 5 {
		t.Errorf("the documents have %d configurations, want at least 5", count)
	}
}

// The README is for a reader without time. Details belong in the other documents.
func TestReadmeIsShort(t *testing.T) {
	text := documents(t)["../../README.md"]
	if got, want := len(strings.Fields(text)), 1500; got > want {
		t.Errorf("the README has %d words, want at most %d", got, want)
	}
	_, table, _ := strings.Cut(text, "## How do I …\n")
	table, _, _ = strings.Cut(table, "\n## ")
	if got, want := strings.Count(table, "? | "), 15; got < want {
		t.Errorf("the README answers %d questions, want at least %d", got, want)
	}
}

// The map in ARCHITECTURE.md names files that exist, and every folder with code.
func TestTheMapNamesEveryFolderWithCode(t *testing.T) {
	_, table, _ := strings.Cut(documents(t)["../../ARCHITECTURE.md"], "## The map\n")
	table, _, _ = strings.Cut(table, "\n## ")
	rows := regexp.MustCompile("(?m)^\\| `([\\w/]+)` \\|(.*)$").FindAllStringSubmatch(table, -1)
	if len(rows) < 20 {
		t.Fatalf("the map has %d rows, want more", len(rows))
	}
	mapped := make(map[string]bool)
	for _, row := range rows {
		folder := filepath.Join("../..", row[1])
		mapped[folder] = true
		for _, name := range regexp.MustCompile("`([\\w.]+)`").FindAllStringSubmatch(row[2], -1) {
			path := filepath.Join(folder, name[1])
			_, err := os.Stat(path)
			if strings.Contains(name[1], ".") && err != nil {
				t.Errorf("the map names a file of %s: %v", row[1], err)
			}
			mapped[path] = err == nil
		}
	}
	for _, pattern := range []string{"*", "*/*", "*/*/*", "*/*/*/*"} {
		files, _ := filepath.Glob(filepath.Join("../..", pattern, "*.go"))
		for _, file := range files {
			if folder := filepath.Dir(file); !mapped[folder] && !strings.Contains(folder, "/deploy/") {
				t.Errorf("%s is not in the map", folder)
				mapped[folder] = true
			}
		}
	}
}
