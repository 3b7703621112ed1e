package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"roamproxy/cmd/roamproxy/config"
)

// environment returns a getenv for these variables.
func environment(variables map[string]string) func(string) string {
	return func(name string) string { return variables[name] }
}

// With ROAM_API_KEY set, roamproxy needs no file. A flag takes precedence over the environment, and that over the file.
func ExampleLoad() {
	getenv := environment(map[string]string{"ROAM_API_KEY": "rmk-example", "HOME": "/home/me", "ROAMPROXY_UPSTREAM_TIMEOUT": "10s"})
	l, err := config.Load("", getenv, []config.Override{{Key: "listen", Value: "127.0.0.1:7000", Source: "--listen"}})
	if err != nil {
		panic(err)
	}
	for _, key := range []string{"listen", "upstream.timeout", "state_dir", "admin.listen"} {
		fmt.Printf("%s: %q\n", key, l.Sources[key])
	}
	fmt.Println(l.Listen, l.Upstream.Timeout, l.Credentials[0].APIKey)
	// Output:
	// listen: "--listen"
	// upstream.timeout: "$ROAMPROXY_UPSTREAM_TIMEOUT"
	// state_dir: "$HOME"
	// admin.listen: ""
	// 127.0.0.1:7000 10s [redacted]
}

// The error joins all mistakes, each with its place and its key.
func ExampleLoad_mistakes() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "roamproxy.yaml")
	os.WriteFile(file, []byte("upsteam: {url: https://api.ro.am}\nquotas:\n  - {name: roam, rate: 0}\n"), 0o600)
	_, err = config.Load(file, environment(map[string]string{"ROAM_API_KEY": "rmk-example", "HOME": "/home/me"}), nil)
	fmt.Println(strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), ""))
	// Output:
	// roamproxy.yaml:1: upsteam: there is no such key; did you mean upstream?
	// roamproxy.yaml:3: quotas[0].rate: want more than 0 calls a second, not 0
}
