package server

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/proxy"
)

// proxyTools returns the tools of the configuration with the hashes of their tokens.
func proxyTools(configured []config.Tool) ([]proxy.Tool, error) {
	var all []proxy.Tool
	for _, t := range configured {
		tool := proxy.Tool{
			Name: t.Name, Credential: t.Credential, Weight: t.Weight, MaxQueue: t.MaxQueue, Batch: t.Batch,
			MaxWait: time.Duration(t.MaxWait), CallsPerDay: int(t.CallsPerDay), Allow: t.Allow,
		}
		for _, sum := range t.TokenSHA256 {
			raw, err := hex.DecodeString(sum)
			if err != nil || len(raw) != sha256.Size {
				return nil, fmt.Errorf("tool %s: token_sha256 is not a SHA-256", t.Name)
			}
			tool.Tokens = append(tool.Tokens, [sha256.Size]byte(raw))
		}
		if t.TokenFile != "" {
			content, err := os.ReadFile(t.TokenFile)
			if err != nil {
				return nil, fmt.Errorf("tool %s: %w", t.Name, err)
			}
			token := strings.TrimSpace(string(content))
			if token == "" {
				return nil, fmt.Errorf("tool %s: %s is empty", t.Name, t.TokenFile)
			}
			tool.Tokens = append(tool.Tokens, sha256.Sum256([]byte(token)))
		}
		if len(tool.Tokens) == 0 {
			return nil, errors.New("tool " + t.Name + " has no token")
		}
		all = append(all, tool)
	}
	return all, nil
}

// Tables returns the rules and routes of the configuration.
func Tables(c config.Config) (t proxy.Tables) {
	for _, r := range c.Cache.Rules {
		rule := proxy.Rule{
			Match: r.Match, KeyBody: r.KeyBody, PageSize: r.PageSize, Stale: (*time.Duration)(r.Stale),
		}
		if r.Webhooks != nil {
			rule.WithWebhooks = time.Duration(*r.Webhooks)
		}
		if r.TTL != nil {
			rule.TTL, rule.Origin = (*time.Duration)(&r.TTL.Duration), r.TTL.Origin
		}
		t.Rules = append(t.Rules, rule)
	}
	for _, d := range c.Cache.Drop {
		t.Drops = append(t.Drops, proxy.Drop{After: d.After, Routes: d.Routes})
	}
	for _, r := range c.Routes {
		t.Routes = append(t.Routes, proxy.Route{
			Match: r.Match, Timeout: (*time.Duration)(r.Timeout), MaxWait: (*time.Duration)(r.MaxWait), Urgency: r.Urgency,
			Supersede: (*string)(r.Supersede),
		})
	}
	return t
}
