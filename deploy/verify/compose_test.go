package verify

import (
	"os/exec"
	"testing"

	"go.yaml.in/yaml/v4"
)

// Seen to fail with a service without an image.
func TestComposeFilesAreAccepted(t *testing.T) {
	compose := program(t, "docker-compose")
	for _, tt := range []struct {
		name string
		args []string
	}{
		{"one roamproxy", []string{"-f", "compose.yaml"}},
		{"the demo", []string{"-f", "compose.yaml", "--env-file", "compose/demo.env"}},
		{"replicas", []string{"-f", "compose/replicas.yaml"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.Command(compose, append(tt.args, "config", "-q")...)
			cmd.Dir = ".."
			run(t, cmd)
		})
	}
}

func TestConfigurationsAreAccepted(t *testing.T) {
	for _, file := range []string{"config.example.yaml", "deploy/compose/roamproxy.yaml", "deploy/compose/replicas.roamproxy.yaml"} {
		t.Run(file, func(t *testing.T) { accepts(t, file, read(t, file)) })
	}
}

// The three replicas of deploy/compose have one configuration and share one Redis.
func TestComposeReplicasShareOneRedis(t *testing.T) {
	var c settings
	if err := yaml.Unmarshal([]byte(read(t, "deploy/compose/replicas.roamproxy.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	if c.Redis.URL == "" || c.Redis.PasswordFile == "" || c.Redis.Replicas != 3 {
		t.Errorf("redis is %+v, want an address, a password file and three replicas", c.Redis)
	}
}
