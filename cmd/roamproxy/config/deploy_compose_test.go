package config

import (
	"testing"
)

// The configuration that the three replicas of deploy/compose share is one, and shares.
func TestComposeConfigurationLoads(t *testing.T) {
	l, err := Load("../../../deploy/compose/replicas.roamproxy.yaml", environ{"HOME": "/h"}.get, nil)
	if err != nil {
		t.Fatal(err)
	}
	if l.Redis.URL == "" || l.Redis.PasswordFile == "" || l.Redis.Replicas != 3 {
		t.Errorf("redis is %+v, want an address, a password file and three replicas", l.Redis)
	}
}
