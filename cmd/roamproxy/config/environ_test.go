package config

// environ is the environment of a process in a test.
type environ map[string]string

func (e environ) get(name string) string { return e[name] }
