package main

import (
	"net/url"
	"time"
)

type pauseCmd struct {
	adminFlags
	Max   time.Duration `help:"Longest duration of the pause, which ends by itself." default:"10m" placeholder:"DURATION"`
	Quota string        `help:"Only this quota; default: all." placeholder:"NAME"`
}

// Run pauses quotas of the running roamproxy.
func (c pauseCmd) Run(p *program) error {
	query := quotaQuery(c.Quota)
	query.Set("max", c.Max.String())
	return c.act(p, "/api/pause", query)
}

type resumeCmd struct {
	adminFlags
	Quota       string `help:"Only this quota; default: all." placeholder:"NAME"`
	ForgetLimit bool   `help:"Also reset the adaptive limit to the configured one."`
}

// Run ends the pause of quotas in the running roamproxy.
func (c resumeCmd) Run(p *program) error {
	query := quotaQuery(c.Quota)
	if c.ForgetLimit {
		query.Set("forget", "limit")
	}
	return c.act(p, "/api/resume", query)
}

func quotaQuery(name string) url.Values {
	query := url.Values{}
	if name != "" {
		query.Set("quota", name)
	}
	return query
}
