package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const sum = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

func home() environ { return environ{"ROAM_API_KEY": "rmk-secret", "HOME": "/home/somebody"} }

func loadText(t testing.TB, env environ, text string) (*Loaded, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(path, env.get, nil)
}

func TestExampleIsTheDefaults(t *testing.T) {
	example, err := Load("../../../config.example.yaml", home().get, nil)
	if err != nil {
		t.Fatal(err)
	}
	usual, err := Load("", home().get, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Config{&example.Config, &usual.Config} {
		if got := c.Credentials[0].APIKey.Reveal(); got != "rmk-secret" {
			t.Errorf("api_key = %q", got)
		}
		c.Credentials[0].APIKey = Credential{}.APIKey
		if len(c.Tools)+len(c.Hosts)+len(c.Browsers)+len(c.Cache.Rules)+len(c.Cache.Drop)+len(c.Routes)+len(c.Webhooks.Forward) > 0 {
			t.Error("a list is not empty")
		}
		c.Tools, c.Hosts, c.Browsers, c.Cache.Rules, c.Cache.Drop, c.Routes, c.Webhooks.Forward = nil, nil, nil, nil, nil, nil, nil
	}
	if !reflect.DeepEqual(example.Config, usual.Config) {
		t.Errorf("config.example.yaml says\n%+v, the defaults are\n%+v", example.Config, usual.Config)
	}
	text, _ := os.ReadFile("../../../config.example.yaml")
	typ := reflect.TypeFor[Config]()
	for i := range typ.NumField() {
		if key := typ.Field(i).Tag.Get("key"); !strings.Contains("\n"+string(text), "\n"+key+":") {
			t.Errorf("config.example.yaml does not have %s", key)
		}
	}
}

func TestEveryMistakeIsNamedAtOnce(t *testing.T) {
	_, err := loadText(t, environ{"HOME": "/h"}, `
listen: 0.0.0.0:8080
admin: {listen: "0.0.0.0:9190"}
upsteam: {url: x}
upstream: {url: "http://api.ro.am", timeout: 30, max_in_flight: 0}
credentials:
  - {name: Org, quota: other}
quotas:
  - {name: roam, rate: 0, burst: 1, jitter: 200ms, max_queue: many}
  - {name: roam, max_wait: -1s}
cache: {max_size: 64MB, rules: [{match: "/v1/x", ttl: soon}]}
redis: {url: "http://:secret@x", replicas: 0, prefix: "{a}"}
log: {level: loud}
log: {level: info}
browsers: ["http://localhost:3000/"]
`)
	if err == nil {
		t.Fatal("it was loaded")
	}
	for _, want := range []string{
		"c.yaml:2: listen: 0.0.0.0:8080 can be reached from other machines",
		"c.yaml:3: admin.token_file: is needed",
		"c.yaml:4: upsteam: there is no such key; did you mean upstream?",
		"c.yaml:5: upstream.timeout: want a duration with a unit",
		"c.yaml:5: upstream.max_in_flight: want at least 1, not 0",
		"upstream.url: api.ro.am would send the credential unencrypted",
		`credentials[0].name: want 1 to 32`,
		`c.yaml:7: credentials[0].api_key: there is no API key; set ROAM_API_KEY`,
		`credentials[0].quota: there is no quota "other"`,
		"c.yaml:9: quotas[0].rate: want more than 0",
		"c.yaml:9: quotas[0].max_queue: want a whole number",
		`quotas[1].name: "roam" is a duplicate`,
		"quotas[1].max_wait: want a duration of at least zero",
		"cache.max_size: want a size such as 64MiB",
		"cache.rules[0].match: want METHOD /path",
		"cache.rules[0].ttl: want a duration with a unit",
		"redis.url: want redis://user:password@host:port/database",
		"redis.replicas: want at least 1, not 0",
		"redis.prefix: want 1 to 64 letters",
		`log.level: want debug, info, warn or error, not "loud"`,
		"c.yaml:14: log: is a duplicate of line 13",
		"browsers[0]: want an origin",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named in\n%v", want, err)
		}
	}
}

func TestSingleMistakes(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"a second document", "open: true\n---\nopen: false\n", "a second document"},
		{"an anchor", "listen: &a 127.0.0.1:1\nadmin: {listen: *a}\n", "anchors and aliases"},
		{"no YAML", "listen: [", "c.yaml"},
		{"a list instead of keys", "- 1\n", "want keys with values"},
		{"a variable that is not set", "listen: ${NOWHERE}\n", "the variable NOWHERE is not set"},
		{"the same listener twice", "listen: 127.0.0.1:9190\n", "is the same as listen"},
		{"a key and a key file", "credentials: [{name: a, api_key: x, api_key_file: y}]", "has both"},
		{"a tool without a token", "tools: [{name: a}]", "roamproxy token a"},
		{"a tool with a bad token", "tools: [{name: a, token_sha256: 9f86d0}]", "64 hexadecimal digits"},
		{"one token for two tools", "tools: [{name: a, token_sha256: " + sum + "}, {name: b, token_sha256: " + sum + "}]",
			"token of another tool"},
		{"a tool of an unknown credential", "tools: [{name: a, token_sha256: " + sum + ", credential: x}]", `no credential "x"`},
		{"a pattern without a method", "tools: [{name: a, token_sha256: " + sum + ", allow: [/v1/x]}]", "METHOD /path"},
		{"a budget below zero", "tools: [{name: a, token_sha256: " + sum + ", calls_per_day: -1}]", "tools[0].calls_per_day: want at least 1"},
		{"a socket without its whole path", "listen: unix://here.sock", "want the whole path"},
		{"a removed key", "listen_group: www-data", "listen_group: is no key any more: the socket gets the group of its directory"},
		{"a removed key of a section", "limits: {max_calls: 5}", "limits.max_calls: is no key any more"},
		{"a removed key in a list", "credentials: [{name: a, oauth: {client_id: x, scopes: [b]}}]",
			"credentials[0].oauth.scopes: is no key any more"},
		{"a host with a port", "hosts: [roamproxy:8080]", "hosts[0]: want a name without a port"},
		{"a jitter that eats the burst", "quotas: [{name: roam, burst: 1}]", "less than one call"},
		{"a path in the upstream", "upstream: {url: https://api.ro.am/v1}", "only scheme and host"},
		{"wide pages that are not cached", "cache: {rules: [{match: GET /v1/x, page_size: 100, ttl: 0}]}", "needs a ttl"},
		{"pages below nothing", "cache: {rules: [{match: GET /v1/x, page_size: -1}]}", "want 1 to 1000 items"},
		{"a body in the key of a GET", "cache: {rules: [{match: GET /v1/x, key_body: true}]}", "is for a POST that reads"},
		{"a POST without its body in the key", "cache: {rules: [{match: POST /v1/x}]}", "set key_body: true"},
		{"a cached POST without a ttl", "cache: {rules: [{match: POST /v1/x, key_body: true}]}", "cache.rules[0].ttl: is needed"},
		{"an urgency out of range", "routes: [{match: POST /v1/x, urgency: 8}]", "routes[0].urgency: want 0 (most urgent) to 7"},
		{"a timeout of nothing", "routes: [{match: POST /v1/x, timeout: 0}]", "routes[0].timeout: want more than 0"},
		{"a subject that is no field", "routes: [{match: POST /v1/x, supersede: true}]", "want the name of the field"},
		{"a superseded read", "routes: [{match: GET /v1/x, supersede: chatId}]", "routes[0].supersede: is for a POST"},
		{"a route without a method", "routes: [{match: /v1/x}]", "METHOD /path"},
		{"OAuth and a key", "credentials: [{name: a, api_key: x, oauth: {client_id: y}}]", "both oauth and an API key"},
		{"OAuth without a client", "credentials: [{name: a, oauth: {refresh_token: y}}]", "credentials[0].oauth.client_id: is missing"},
		{"a client secret twice", "credentials: [{name: a, oauth: {client_id: y, client_secret: a, client_secret_file: b}}]",
			"both client_secret"},
		{"tokens in the clear", "credentials: [{name: a, oauth: {client_id: y, token_url: 'http://ro.am/oauth/token'}}]",
			"c.yaml:1: credentials[0].oauth.token_url: secrets would go to ro.am unencrypted"},
		{"a password twice", "redis: {url: 'redis://:geheim@r', password_file: c.yaml}",
			"redis.password_file: there is a password in redis.url too"},
		{"an authority without TLS", "redis: {url: 'redis://r', ca_file: c.yaml}", "redis.ca_file: has no effect without TLS: want rediss://"},
		{"an authority that is none", "redis: {url: 'rediss://r', ca_file: /dev/null}", "redis.ca_file: there is no certificate in /dev/null"},
		{"a removed key of Redis", "redis: {url: 'rediss://r', key_file: c.yaml}", "redis.key_file: is no key any more: append the private key"},
		{"a certificate that is none", "redis: {url: 'rediss://r', cert_file: /dev/null}", "redis.cert_file: tls: failed to find any PEM data"},
		{"a database that is no number", "redis: {url: 'redis://r/geheim'}", "c.yaml:1: redis.url: want redis://"},
		{"a number that is none", "quotas: [{name: roam, rate: .nan}]", "want a number"},
		{"a file without end", strings.Repeat("#", fileSize+1), "larger than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := loadText(t, home(), tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// An address that cannot be parsed is not validated further.
func TestAnInvalidAddressIsOneMistake(t *testing.T) {
	if _, err := loadText(t, home(), "listen: foo"); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want one sentence", err)
	}
}

func TestTheOriginOfEachValueIsNamed(t *testing.T) {
	env := home()
	env["ROAMPROXY_LOG_LEVEL"], env["PORT"] = "debug", "7000"
	l, err := loadText(t, env, `listen: 127.0.0.1:${PORT}
admin: {listen: "127.0.0.1:${OTHER:-7001}"}
log: {level: error}
quotas: [{name: roam, rate: 2}]
browsers: http://a.example
limits: {max_body: 1.5MiB}
redis: {url: "rediss://ours:geheim@redis.example:6380/2?addr=other:6380"}
cache: {rules: [{match: GET /v1/$$x, ttl: origin}]}
`)
	if err != nil {
		t.Fatal(err)
	}
	if l.Listen != "127.0.0.1:7000" || l.Admin.Listen != "127.0.0.1:7001" || l.Log.Level != "debug" || l.Quotas[0].Rate != 2 ||
		l.Quotas[0].Burst != 10 || l.Limits.MaxBody != 3<<19 || l.Cache.Rules[0].Match != "GET /v1/$x" ||
		!l.Cache.Rules[0].TTL.Origin || l.Cache.Rules[0].Stale != nil {
		t.Errorf("loaded %+v", l.Config)
	}
	var out strings.Builder
	l.Print(&out)
	for _, want := range []string{"c.yaml:1, $PORT", "# $ROAMPROXY_LOG_LEVEL", "# $ROAM_API_KEY", "# $HOME", "rate: 2 ", "# default",
		`[redacted]`, `url: "rediss://ours:[redacted]@redis.example:6380/2?addr=other:6380"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "rmk-secret") || strings.Contains(out.String(), "geheim") {
		t.Error("the secret is printed")
	}
}

// The output of check is a valid configuration, except for secrets.
func TestPrintedConfigurationLoads(t *testing.T) {
	l, err := loadText(t, home(), `
tools: [{name: a, token_sha256: [`+sum+`], allow: [GET /v1/*]}]
cache: {drop: [{after: POST /v1/x, routes: [/v1/y]}]}
`)
	if err != nil {
		t.Fatal(err)
	}
	var first, second strings.Builder
	l.Print(&first)
	again, err := loadText(t, home(), first.String())
	if err != nil {
		t.Fatalf("%v in\n%s", err, first.String())
	}
	again.Print(&second)
	withoutSources := regexp.MustCompile(` *#.*`)
	if withoutSources.ReplaceAllString(first.String(), "") != withoutSources.ReplaceAllString(second.String(), "") {
		t.Errorf("printed\n%s, and read again\n%s", first.String(), second.String())
	}
}

// Every key with a single value has a variable. Seen to fail with eight of them.
func TestEverySingleValueHasAVariable(t *testing.T) {
	keys := scalarKeys(reflect.TypeFor[Config](), "")
	for _, want := range []string{"open", "listen", "upstream.timeout", "cache.max_size", "limits.shutdown_grace", "redis.url",
		"admin.debug"} {
		if !slices.Contains(keys, want) {
			t.Errorf("%s has no variable; those that have are %v", want, keys)
		}
	}
	env := home()
	for name, value := range map[string]string{
		"ROAMPROXY_LISTEN": "0.0.0.0:8080", "ROAMPROXY_OPEN": "true", "ROAMPROXY_UPSTREAM_TIMEOUT": "7s", "ROAMPROXY_CACHE_MAX_SIZE": "8MiB",
		"ROAMPROXY_UPSTREAM_MAX_IN_FLIGHT": "1", "ROAMPROXY_PORT": "tcp://10.0.0.1:8080", // Kubernetes sets the last one for a Service
	} {
		env[name] = value
	}
	l, err := Load("", env.get, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !l.Open || l.Upstream.Timeout != Duration(7*time.Second) || l.Cache.MaxSize != 8<<20 || l.Upstream.MaxInFlight != 1 ||
		l.Sources["open"] != "$ROAMPROXY_OPEN" {
		t.Errorf("loaded %+v from %v", l.Config, l.Sources)
	}
	env["ROAMPROXY_OPEN"] = "yes"
	if _, err := Load("", env.get, nil); err == nil || !strings.Contains(err.Error(), "$ROAMPROXY_OPEN: open: want true or false") {
		t.Errorf("a wrong value: %v", err)
	}
}

func TestOfSeveralStateDirectoriesTheFirstIsUsed(t *testing.T) {
	env := home()
	env["STATE_DIRECTORY"] = "/var/lib/roamproxy:/var/lib/roamproxy-extra"
	l, err := Load("", env.get, nil)
	if err != nil || l.StateDir != "/var/lib/roamproxy" {
		t.Errorf("state_dir is %q (%v), want the first", l.StateDir, err)
	}
}

func TestDialable(t *testing.T) {
	for addr, want := range map[string]string{
		"0.0.0.0:9190": "127.0.0.1:9190", ":9190": "127.0.0.1:9190", "[::]:9190": "[::1]:9190", "127.0.0.1:1": "127.0.0.1:1",
		"[::1]:1":       "[::1]:1",
		"10.1.2.3:9190": "10.1.2.3:9190", "localhost:9190": "localhost:9190", "nonsense": "nonsense",
	} {
		t.Run(addr, func(t *testing.T) {
			if got := Dialable(addr); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("listen: 127.0.0.1:8080\n")
	f.Add("quotas: [{name: roam, rate: 1e300, jitter: 100000h}]\n")
	f.Add("a: &a [*a]\n")
	f.Add("tools: {}\ncredentials:\n- name: ${X:-}\n")
	f.Add("? {a: b}\n: c\n")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := loadText(t, home(), text)
		if err == nil {
			l.Print(&strings.Builder{})
		} else if strings.Contains(err.Error(), "rmk-secret") {
			t.Errorf("a mistake shows the secret: %v", err)
		}
	})
}

func TestUnitsAreWrittenAsTheyAreRead(t *testing.T) {
	for _, s := range []string{"30s", "2m", "1h", "200ms", "1h30m", "0s", "1m1s"} {
		var d Duration
		if err := d.parse(s); err != nil || d.String() != s {
			t.Errorf("%s is written %s (%v)", s, d, err)
		}
	}
	for _, s := range []string{"64MiB", "512KiB", "1000B", "0B", "1GiB"} {
		var z Size
		if err := z.parse(s); err != nil || z.String() != s {
			t.Errorf("%s is written %s (%v)", s, z, err)
		}
	}
	for _, s := range []string{"", "-1", "1e30GiB", "NaN", "MiB", "64MB"} {
		if err := new(Size).parse(s); err == nil {
			t.Errorf("%q is a size", s)
		}
	}
}
