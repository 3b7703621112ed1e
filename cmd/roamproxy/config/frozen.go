package config

// CheckFrozen compares the configuration with now, the one in force. It returns an error that names each setting that needs a restart.
func (l *Loaded) CheckFrozen(now Config) error {
	v := &checker{sources: l.Sources}
	for _, f := range []struct {
		key      string
		new, old any
	}{
		{"listen", l.Listen, now.Listen},
		{"admin.listen", l.Admin.Listen, now.Admin.Listen},
		{"webhooks.listen", l.Webhooks.Listen, now.Webhooks.Listen},
		{"state_dir", l.StateDir, now.StateDir},
		{"limits.read_header_timeout", l.Limits.ReadHeaderTimeout, now.Limits.ReadHeaderTimeout},
		{"limits.idle_timeout", l.Limits.IdleTimeout, now.Limits.IdleTimeout},
	} {
		v.want(f.new == f.old, f.key, "is %v until a restart; restart roamproxy to change it to %v", f.old, f.new)
	}
	return joined(v.mistakes)
}
