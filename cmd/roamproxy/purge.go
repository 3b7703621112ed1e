package main

import "net/url"

type purgeCmd struct {
	adminFlags
	Pattern string `arg:"" help:"Routes, such as /v1/group*."`
}

// Run removes cached answers of the running roamproxy.
func (c purgeCmd) Run(p *program) error {
	return c.act(p, "/api/purge", url.Values{"match": {c.Pattern}})
}
