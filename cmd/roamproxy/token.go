package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"regexp"
)

type tokenCmd struct {
	Name string `arg:"" help:"The tool's name: 1 to 32 of a-z, 0-9 and -."`
}

// Run prints a new token, which is not stored, and the lines for the configuration.
func (t tokenCmd) Run(p *program) error {
	if !regexp.MustCompile(`^[a-z0-9-]{1,32}$`).MatchString(t.Name) {
		return fmt.Errorf("want a name of 1 to 32 of a-z, 0-9 and -, not %q", t.Name)
	}
	random := make([]byte, 32)
	rand.Read(random)
	token := "rpt_" + base64.RawURLEncoding.EncodeToString(random)
	fmt.Fprintf(p.out, "Token for %s, shown only once:\n\n    %s\n\nFor the configuration of roamproxy:\n\n    tools:\n      - name: %s\n  "+
		"      token_sha256: %x\n\nThe tool sends it as Authorization: Bearer, or as the password of its base URL.\n", t.Name, token, t.Name,
		sha256.Sum256([]byte(token)))
	return nil
}
