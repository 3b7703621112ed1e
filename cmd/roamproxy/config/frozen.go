package config

// CheckFrozen names what differs from the configuration in force and cannot change while the process runs.
func (l *Loaded) CheckFrozen(now Config) error {
	v := &checker{sources: l.Sources}
	for _, f := range []struct {
		key      string
		new, old any
	}{
		{"listen", l.Listen, now.Listen},
		{"listen_group", l.ListenGroup, now.ListenGroup},
		{"admin.listen", l.Admin.Listen, now.Admin.Listen},
		{"state_dir", l.StateDir, now.StateDir},
	} {
		v.want(f.new == f.old, f.key, "is %v while roamproxy runs; restart it to make it %v", f.old, f.new)
	}
	return joined(v.mistakes)
}
