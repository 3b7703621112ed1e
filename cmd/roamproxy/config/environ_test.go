package config

// environ is a process's environment for a test.
type environ map[string]string

func (e environ) get(name string) string { return e[name] }
