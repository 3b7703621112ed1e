package main

import (
	"errors"
	"fmt"
	"strings"
)

type checkCmd struct {
	Config string `help:"Configuration file." placeholder:"FILE"`
}

// Run prints the configuration in force, or every mistake in it.
func (c checkCmd) Run(p *program) error {
	l, err := load(c.Config, p.getenv, nil)
	if err != nil {
		n := strings.Count(err.Error(), "\n") + 1
		return errors.Join(err, fmt.Errorf("%d to mend; nothing was started", n))
	}
	l.print(p.out)
	return nil
}
