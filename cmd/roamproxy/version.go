package main

import (
	"fmt"
	"runtime"

	"roamproxy/cmd/roamproxy/server"
)

type versionCmd struct{}

// Run prints one line.
func (versionCmd) Run(p *program) error {
	version, revision := server.Version()
	fmt.Fprintf(p.out, "roamproxy %s (%s, %s %s/%s)\n", version, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}
