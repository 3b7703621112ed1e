package main

type reloadCmd struct {
	adminFlags
}

// Run makes the running roamproxy read its configuration again.
func (c reloadCmd) Run(p *program) error { return c.act(p, "/-/reload", nil) }
