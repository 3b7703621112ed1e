package config

import (
	"encoding/hex"
	"fmt"
	"math"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"roamproxy/proxy/credential"
)

func splitKey(key string) func(func(string) bool) { return strings.SplitSeq(key, ".") }

// checker collects mistakes under the keys as the user wrote them.
type checker struct {
	sources  map[string]string
	mistakes []Mistake
}

func (c *checker) bad(key, format string, args ...any) {
	where := c.sources[key]
	for parent := key; where == "" && parent != ""; {
		parent = parent[:max(strings.LastIndexAny(parent, ".["), 0)]
		where = c.sources[parent]
	}
	c.mistakes = append(c.mistakes, Mistake{Where: where, Key: key, Text: fmt.Sprintf(format, args...)})
}

// missing reports a required key that is absent.
func (c *checker) missing(key, format string, args ...any) {
	c.bad(key, format, args...)
	c.mistakes[len(c.mistakes)-1].absence = true
}

func (c *checker) want(ok bool, key, format string, args ...any) {
	if !ok {
		c.bad(key, format, args...)
	}
}

// Validate returns the mistakes that no single value shows. sources has the origin of each value.
func (c Config) Validate(sources map[string]string) []Mistake {
	v := &checker{sources: sources}
	c.checkListeners(v)
	c.checkUpstream(v)
	c.checkQuotas(v)
	c.checkTools(v)
	c.checkCache(v)
	c.checkRoutes(v)
	c.checkWebhooks(v)
	c.checkRedis(v)
	v.want(c.StateDir != "", "state_dir", "there is no home directory for the state; set state_dir or STATE_DIRECTORY")
	v.want(c.Limits.MaxConnections >= 1, "limits.max_connections", "want at least 1, not %d", c.Limits.MaxConnections)
	v.want(c.Limits.MaxBody > 0, "limits.max_body", "want more than 0")
	v.want(c.Limits.QueueBytes >= c.Limits.MaxBody, "limits.queue_bytes", "%v cannot hold one body of limits.max_body, %v",
		c.Limits.QueueBytes, c.Limits.MaxBody)
	v.want(c.Limits.ReadHeaderTimeout > 0, "limits.read_header_timeout",
		"want more than 0: a caller that never ends its header would hold a connection forever")
	v.want(c.Limits.IdleTimeout > 0, "limits.idle_timeout", "want more than 0")
	v.want(c.Limits.ShutdownGrace > 0, "limits.shutdown_grace", "want more than 0")
	v.want(slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level), "log.level", "want debug, info, warn or error, not %q",
		c.Log.Level)
	v.want(slices.Contains([]string{"auto", "json", "console"}, c.Log.Format), "log.format", "want auto, json or console, not %q",
		c.Log.Format)
	return v.mistakes
}

func (c Config) checkListeners(v *checker) {
	for key, addr := range map[string]string{"listen": c.Listen, "admin.listen": c.Admin.Listen} {
		if path := SocketPath(addr); key == "listen" && path != "" {
			v.want(filepath.IsAbs(path), key, "want the whole path of the socket, such as unix:///run/roamproxy/roamproxy.sock, not %q", addr)
		} else if _, port, err := net.SplitHostPort(addr); err != nil || port == "" {
			v.bad(key, "want an address and a port, such as 127.0.0.1:8080, not %q", addr)
		}
	}
	_, port, err := net.SplitHostPort(c.Listen)
	v.want(port == "0" || c.Listen != c.Admin.Listen, "admin.listen", "is the same as listen; the admin pages need a port of their own")
	v.want(err != nil || IsLoopback(c.Listen) || len(c.Tools) > 0 || c.Open, "listen",
		"%s can be reached from other machines, and without tools every caller there may use the credential; configure tools, or set open: true",
		c.Listen)
	v.want(IsLoopback(c.Admin.Listen) || c.Admin.TokenFile != "", "admin.token_file",
		"is needed when admin.listen (%s) can be reached from other machines", c.Admin.Listen)
	for i, host := range c.Hosts {
		checkHost(v, fmt.Sprintf("hosts[%d]", i), host)
	}
	for i, origin := range c.Browsers {
		checkOrigin(v, fmt.Sprintf("browsers[%d]", i), origin)
	}
}

func (c Config) checkUpstream(v *checker) {
	u, err := url.Parse(c.Upstream.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		v.bad("upstream.url", "want an address such as https://api.ro.am, not %q", c.Upstream.URL)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/":
		v.bad("upstream.url", "want only scheme and host: paths are forwarded unchanged, and the credential has its own key")
	case u.Scheme == "http":
		host := u.Host
		if u.Port() == "" {
			host += ":80"
		}
		v.want(IsLoopback(host), "upstream.url", "%s would send the credential unencrypted; use https", u.Host)
	}
	v.want(c.Upstream.Timeout > 0, "upstream.timeout", "want more than 0")
	v.want(c.Upstream.MaxInFlight >= 1, "upstream.max_in_flight", "want at least 1, not %d", c.Upstream.MaxInFlight)
	v.want(c.Upstream.MaxOpen >= 1, "upstream.max_open", "want at least 1, not %d", c.Upstream.MaxOpen)
	names := map[string]bool{}
	v.want(len(c.Credentials) > 0, "credentials", "want at least one")
	for i, k := range c.Credentials {
		key := fmt.Sprintf("credentials[%d]", i)
		checkName(v, key+".name", k.Name, names)
		checkOAuth(v, key+".oauth", k.OAuth)
		switch {
		case k.OAuth.IsSet():
			v.want(k.APIKey.IsZero() && k.APIKeyFile == "", key, "has both oauth and an API key; keep one")
		case !k.APIKey.IsZero() && k.APIKeyFile != "":
			v.bad(key, "has both api_key and api_key_file; keep one")
		case k.APIKey.IsZero() && k.APIKeyFile == "":
			v.missing(key+".api_key", "there is no API key; set ROAM_API_KEY, or %s.api_key_file", key)
		default:
			checkSecret(v, key+".api_key", k.APIKey)
		}
		v.want(slices.ContainsFunc(c.Quotas, func(q Quota) bool { return q.Name == k.Quota }), key+".quota", "there is no quota %q; there is %s",
			k.Quota, quoted(c.Quotas, func(q Quota) string { return q.Name }))
	}
}

// checkSecret reports a secret that cannot be used.
func checkSecret(v *checker, key string, secret credential.Secret) {
	if secret.IsZero() {
		return
	}
	err := credential.CheckValue(secret.Reveal())
	v.want(err == nil, key, "%v", err)
}

func checkOAuth(v *checker, key string, o OAuth) {
	if !o.IsSet() {
		return
	}
	v.want(o.ClientID != "", key+".client_id", "is missing")
	v.want(o.ClientSecret.IsZero() || o.ClientSecretFile == "", key, "has both client_secret and client_secret_file; keep one")
	v.want(o.RefreshToken.IsZero() || o.RefreshTokenFile == "", key, "has both refresh_token and refresh_token_file; keep one")
	checkSecret(v, key+".client_secret", o.ClientSecret)
	checkSecret(v, key+".refresh_token", o.RefreshToken)
	u, err := url.Parse(o.TokenURL)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http":
		v.bad(key+".token_url", "want an address such as https://ro.am/oauth/token, not %q", o.TokenURL)
	case u.Scheme == "http":
		v.want(IsLoopback(net.JoinHostPort(u.Hostname(), "80")), key+".token_url", "secrets would go to %s unencrypted; use https", u.Host)
	}
}

func (c Config) checkQuotas(v *checker) {
	names := map[string]bool{}
	v.want(len(c.Quotas) > 0, "quotas", "want at least one")
	for i, q := range c.Quotas {
		key := fmt.Sprintf("quotas[%d]", i)
		checkName(v, key+".name", q.Name, names)
		v.want(q.Rate > 0, key+".rate", "want more than 0 calls a second, not %v", q.Rate)
		v.want(q.Burst > 0, key+".burst", "want more than 0 calls, not %v", q.Burst)
		checkJitter(v, key, q)
		v.want(q.MaxWait > 0, key+".max_wait", "want more than 0")
		v.want(q.MaxQueue >= 1, key+".max_queue", "want at least 1, not %d", q.MaxQueue)
		v.want(q.DefaultPause > 0, key+".default_pause", "want more than 0")
		v.want(q.MaxPause > 0, key+".max_pause", "want more than 0")
		v.want(q.Reserve >= 0 && q.Reserve < 1, key+".reserve", "want a part of the burst, from 0 to below 1, not %v", q.Reserve)
	}
}

// checkJitter reports a quota whose bucket never holds a whole token. It names the keys that are in the file.
func checkJitter(v *checker, key string, q Quota) {
	held := q.Rate * float64(q.Jitter) / 1e9
	switch {
	case q.Rate <= 0 || q.Burst <= 0 || q.Burst-held >= 1:
	case v.sources[key+".jitter"] != "":
		v.bad(key+".jitter", "rate × jitter holds back %.3g of the burst of %v, which leaves less than one call; make jitter smaller", held,
			q.Burst)
	default:
		hint := ""
		if q.Rate >= 10 {
			hint = fmt.Sprintf("; rate is in calls a second: %v a minute is %.3g", q.Rate, q.Rate/60)
		}
		v.bad(key+".rate", "rate %v with burst %v leaves less than one call, because the network may bring calls closer together: "+
			"%.3g of the burst is held back (rate × %v); make the rate smaller, or the burst at least %.3g%s", q.Rate, q.Burst, held, q.Jitter,
			math.Ceil(held+1), hint)
	}
}

// quoted returns the existing names, for a message about a name that does not exist.
func quoted[T any](all []T, name func(T) string) string {
	var list []string
	for _, v := range all {
		list = append(list, fmt.Sprintf("%q", name(v)))
	}
	return strings.Join(list, ", ")
}

func (c Config) checkTools(v *checker) {
	names := map[string]bool{}
	tokens := map[string]bool{}
	for i, t := range c.Tools {
		key := fmt.Sprintf("tools[%d]", i)
		checkName(v, key+".name", t.Name, names)
		if len(t.TokenSHA256) == 0 && t.TokenFile == "" {
			v.missing(key, "has no token; make one with: roamproxy token %s", t.Name)
		}
		v.want(len(t.TokenSHA256) == 0 || t.TokenFile == "", key, "has both token_sha256 and token_file; keep one")
		for j, sum := range t.TokenSHA256 {
			raw, err := hex.DecodeString(sum)
			at := fmt.Sprintf("%s.token_sha256[%d]", key, j)
			v.want(err == nil && len(raw) == 32, at, "want the 64 hexadecimal digits that roamproxy token prints")
			v.want(!tokens[strings.ToLower(sum)], at, "is the token of another tool too")
			tokens[strings.ToLower(sum)] = true
		}
		v.want(t.Credential == "" || slices.ContainsFunc(c.Credentials, func(k Credential) bool { return k.Name == t.Credential }),
			key+".credential", "there is no credential %q; there is %s", t.Credential,
			quoted(c.Credentials, func(k Credential) string { return k.Name }))
		v.want(t.Weight >= 1 && t.Weight <= 1000, key+".weight", "want 1 to 1000, not %d", t.Weight)
		v.want(t.MaxQueue >= 0, key+".max_queue", "want at least 1, or no value for the quota's")
		v.want(t.CallsPerDay >= 0, key+".calls_per_day", "want at least 1, or no value for no limit")
		for j, pattern := range t.Allow {
			checkAllow(v, fmt.Sprintf("%s.allow[%d]", key, j), pattern)
		}
	}
}

func (c Config) checkCache(v *checker) {
	v.want(c.Cache.MaxSize > 0, "cache.max_size", "want more than 0")
	v.want(c.Cache.MaxBody <= c.Cache.MaxSize, "cache.max_body", "%v is more than cache.max_size, %v", c.Cache.MaxBody, c.Cache.MaxSize)
	for i, r := range c.Cache.Rules {
		key := fmt.Sprintf("cache.rules[%d]", i)
		checkPattern(v, key+".match", r.Match)
		size, keyBody := value(r.PageSize), value(r.KeyBody)
		v.want(size >= 0 && size <= 1000, key+".page_size", "want 1 to 1000 items, or 0 for the tool's own pages, not %d", size)
		v.want(size == 0 || r.TTL == nil || *r.TTL != (TTL{}), key+".page_size",
			"needs a ttl: a wide page that is not cached is requested again for each part of it")
		method, _, _ := strings.Cut(r.Match, " ")
		v.want(!keyBody || method == "POST", key+".key_body", "is for a POST that reads, not for %q", r.Match)
		v.want(!keyBody || r.TTL != nil, key+".ttl", "is needed: no built-in rule has a ttl for a POST")
		v.want(keyBody || method != "POST" || r.TTL != nil && *r.TTL == (TTL{}), key+".match",
			"only a POST that reads can be cached; set key_body: true if this one does, or ttl: 0")
	}
	for i, d := range c.Cache.Drop {
		key := fmt.Sprintf("cache.drop[%d]", i)
		checkPattern(v, key+".after", d.After)
		v.want(len(d.Routes) > 0, key+".routes", "names no routes")
		for j, pattern := range d.Routes {
			checkPattern(v, fmt.Sprintf("%s.routes[%d]", key, j), "GET "+pattern)
		}
	}
}

// value returns what p points to, or the zero value.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func (c Config) checkWebhooks(v *checker) {
	h := c.Webhooks
	if h.Listen == "" {
		v.want(h.SecretFile == "" && len(h.Forward) == 0, "webhooks.listen", "is needed: without it no webhook can arrive")
		for i, r := range c.Cache.Rules {
			v.want(value(r.Webhooks) == 0, fmt.Sprintf("cache.rules[%d].ttl_with_webhooks", i), "needs webhooks.listen")
		}
		return
	}
	_, port, err := net.SplitHostPort(h.Listen)
	v.want(err == nil && port != "", "webhooks.listen", "want an address and a port, such as 127.0.0.1:8090, not %q", h.Listen)
	v.want(port == "0" || h.Listen != c.Listen && h.Listen != c.Admin.Listen, "webhooks.listen",
		"%s is the address of another listener of roamproxy", h.Listen)
	v.want(strings.HasPrefix(h.Path, "/") && !strings.ContainsAny(h.Path, "?#% "), "webhooks.path",
		"want a path such as /roam-webhooks, not %q", h.Path)
	v.want(h.Trust > 0, "webhooks.trust", "want more than 0")
	v.want(h.SecretFile != "", "webhooks.secret_file", "is needed: without Roam's signing secret any sender could forge webhooks")
	for i, to := range h.Forward {
		u, err := url.Parse(to)
		v.want(err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https"), fmt.Sprintf("webhooks.forward[%d]", i),
			"want an address such as http://127.0.0.1:3000/hook")
	}
}

func (c Config) checkRoutes(v *checker) {
	for i, r := range c.Routes {
		key := fmt.Sprintf("routes[%d]", i)
		checkPattern(v, key+".match", r.Match)
		v.want(r.Timeout == nil || *r.Timeout > 0, key+".timeout", "want more than 0")
		v.want(value(r.Urgency) >= 0 && value(r.Urgency) <= 7, key+".urgency", "want 0 (most urgent) to 7, not %d", value(r.Urgency))
		method, _, _ := strings.Cut(r.Match, " ")
		v.want(value(r.Supersede) == "" || method == "POST", key+".supersede", "is for a POST, not for %q", r.Match)
	}
}

func checkName(v *checker, key, name string, seen map[string]bool) {
	v.want(regexp.MustCompile(`^[a-z0-9-]{1,32}$`).MatchString(name), key, "want 1 to 32 of a-z, 0-9 and -, not %q", name)
	v.want(!seen[name], key, "%q is a duplicate", name)
	seen[name] = true
}
