// Package config reads roamproxy's settings from flags, the environment, a YAML file and defaults. It reports all mistakes at once, each
// with its key and origin, and prints the effective settings without secrets.
package config

import (
	"net/url"
	"time"

	"roamproxy/proxy/credential"
)

// Config holds all settings. The tag of a field is its key; Default has its default.
type Config struct {
	Listen      string       `key:"listen"`
	Hosts       []string     `key:"hosts"`
	Admin       Admin        `key:"admin"`
	Upstream    Upstream     `key:"upstream"`
	StateDir    string       `key:"state_dir"`
	Credentials []Credential `key:"credentials"`
	Quotas      []Quota      `key:"quotas"`
	Tools       []Tool       `key:"tools"`
	Open        bool         `key:"open"`
	Browsers    []string     `key:"browsers"`
	Cache       Cache        `key:"cache"`
	Routes      []Route      `key:"routes"`
	Writes      Writes       `key:"writes"`
	Webhooks    Webhooks     `key:"webhooks"`
	Redis       Redis        `key:"redis"`
	Limits      Limits       `key:"limits"`
	Log         Log          `key:"log"`
}

// Admin is the listener for operators.
type Admin struct {
	Listen    string `key:"listen"`
	TokenFile string `key:"token_file"`
	Debug     bool   `key:"debug"`
}

// Upstream is how to reach Roam.
type Upstream struct {
	URL         string   `key:"url"`
	Timeout     Duration `key:"timeout"`
	MaxInFlight int      `key:"max_in_flight"`
	MaxOpen     int      `key:"max_open"`
	CAFile      string   `key:"ca_file"`
}

// Credential authenticates calls at Roam.
type Credential struct {
	Name       string            `key:"name"`
	APIKey     credential.Secret `key:"api_key"`
	APIKeyFile string            `key:"api_key_file"`
	OAuth      OAuth             `key:"oauth"`
	Quota      string            `key:"quota"`
}

// OAuth is how to get access tokens.
type OAuth struct {
	ClientID         string            `key:"client_id"`
	ClientSecret     credential.Secret `key:"client_secret"`
	ClientSecretFile string            `key:"client_secret_file"`
	RefreshToken     credential.Secret `key:"refresh_token"`
	RefreshTokenFile string            `key:"refresh_token_file"`
	TokenURL         string            `key:"token_url"`
}

// Quota is one token bucket and its queue.
type Quota struct {
	Name         string   `key:"name"`
	Rate         float64  `key:"rate"`
	Burst        float64  `key:"burst"`
	Jitter       Duration `key:"jitter"`
	MaxWait      Duration `key:"max_wait"`
	MaxQueue     int      `key:"max_queue"`
	DefaultPause Duration `key:"default_pause"`
	MaxPause     Duration `key:"max_pause"`
	Adapt        bool     `key:"adapt"`
	Reserve      float64  `key:"reserve"`
}

// Tool is a program that may call roamproxy.
type Tool struct {
	Name        string     `key:"name"`
	TokenSHA256 []string   `key:"token_sha256"`
	TokenFile   string     `key:"token_file"`
	Credential  string     `key:"credential"`
	Weight      int        `key:"weight"`
	Batch       bool       `key:"batch"`
	MaxQueue    int        `key:"max_queue"`
	MaxWait     Duration   `key:"max_wait"`
	CallsPerDay DailyCalls `key:"calls_per_day"`
	Allow       []string   `key:"allow"`
}

// Cache is what is cached, and for how long.
type Cache struct {
	MaxSize Size        `key:"max_size"`
	MaxBody Size        `key:"max_body"`
	Rules   []CacheRule `key:"rules"`
	Drop    []CacheDrop `key:"drop"`
}

// CacheRule is how long the answers of some routes are fresh. A nil field leaves its key to the built-in rule of the route.
type CacheRule struct {
	Match    string    `key:"match"`
	TTL      *TTL      `key:"ttl"`
	Stale    *Duration `key:"stale"`
	Webhooks *Duration `key:"ttl_with_webhooks"`
	PageSize *int      `key:"page_size"`
	KeyBody  *bool     `key:"key_body"`
}

// CacheDrop is what a write invalidates.
type CacheDrop struct {
	After  string   `key:"after"`
	Routes []string `key:"routes"`
}

// Webhooks is the listener for Roam's webhooks.
type Webhooks struct {
	Listen     string   `key:"listen"` // "": no webhooks
	Path       string   `key:"path"`
	SecretFile string   `key:"secret_file"`
	Forward    []string `key:"forward"`
	Trust      Duration `key:"trust"`
}

// Writes is how long writes of unknown outcome are remembered.
type Writes struct {
	Remember Duration `key:"remember"`
}

// Route is how the calls of some requests are treated. A nil field leaves its key to the next route that matches, and at last to the
// built-in ones.
type Route struct {
	Match     string    `key:"match"`
	Timeout   *Duration `key:"timeout"`
	MaxWait   *Duration `key:"max_wait"`
	Urgency   *int      `key:"urgency"`
	Supersede *Field    `key:"supersede"`
}

// Redis is how replicas share quotas, pauses and the cache. Without URL there is one process.
type Redis struct {
	URL          RedisURL `key:"url"`
	PasswordFile string   `key:"password_file"`
	CAFile       string   `key:"ca_file"`
	CertFile     string   `key:"cert_file"`
	Prefix       string   `key:"prefix"`
	Replicas     int      `key:"replicas"`
	Insecure     bool     `key:"insecure"`
}

// Limits bound what callers may use.
type Limits struct {
	MaxConnections    int      `key:"max_connections"`
	MaxBody           Size     `key:"max_body"`
	ReadHeaderTimeout Duration `key:"read_header_timeout"`
	IdleTimeout       Duration `key:"idle_timeout"`
	QueueBytes        Size     `key:"queue_bytes"`
	ShutdownDelay     Duration `key:"shutdown_delay"`
	ShutdownGrace     Duration `key:"shutdown_grace"`
}

// Log is what is logged, and in which format.
type Log struct {
	Level  string `key:"level"`
	Format string `key:"format"`
}

// Default returns the settings of config.example.yaml. getenv supplies ROAM_API_KEY, the key of the default credential.
func Default(getenv func(string) string) Config {
	org := Credential{}
	org.defaults()
	org.Name, org.APIKey = "org", credential.NewSecret(credential.Trim(getenv("ROAM_API_KEY")))
	quota := Quota{Name: "roam"}
	quota.defaults()
	return Config{
		Listen:      "127.0.0.1:8080",
		Admin:       Admin{Listen: "127.0.0.1:9190"},
		Upstream:    Upstream{URL: "https://api.ro.am", Timeout: Duration(30 * time.Second), MaxInFlight: 10, MaxOpen: 100},
		Credentials: []Credential{org},
		Quotas:      []Quota{quota},
		Cache:       Cache{MaxSize: 64 << 20, MaxBody: 4 << 20},
		Writes:      Writes{Remember: Duration(2 * time.Minute)},
		Webhooks:    Webhooks{Path: "/", Trust: Duration(10 * time.Minute)},
		Redis:       Redis{Prefix: "roamproxy", Replicas: 2},
		Limits: Limits{
			MaxConnections: 4000, MaxBody: 11 << 20, ReadHeaderTimeout: Duration(10 * time.Second),
			IdleTimeout: Duration(2 * time.Minute),
			QueueBytes:  64 << 20, ShutdownGrace: Duration(25 * time.Second),
		},
		Log: Log{Level: "info", Format: "auto"},
	}
}

// defaults sets the defaults of a list element before it is decoded, so that a zero in the file differs from an absent key.
func (c *Credential) defaults() {
	c.Quota = "roam"
	c.OAuth.TokenURL = "https://ro.am/oauth/token"
}

// callsPerPlace is how many calls one tool may have at once for each place in the queues: one that is queued, and one that sends its
// body, is answered from the cache or is refused. With the default max_queue that is 2000 calls.
const callsPerPlace = 2

// MaxCalls returns how many calls one tool may have at once: twice the places in all queues, and those in flight or being read.
func (c Config) MaxCalls() int {
	places := 0
	for _, q := range c.Quotas {
		places += q.MaxQueue
	}
	return callsPerPlace*places + c.Upstream.MaxInFlight + c.Upstream.MaxOpen
}

// AuthorizeURL returns the page where a user agrees: it is beside the token endpoint, as at Roam (/oauth/token, /oauth/authorize).
func (o OAuth) AuthorizeURL() string {
	u, err := url.Parse(o.TokenURL)
	if err != nil {
		return ""
	}
	return u.ResolveReference(&url.URL{Path: "authorize"}).String()
}

// IsSet reports whether any key of OAuth is set.
func (o OAuth) IsSet() bool {
	return o.ClientID+o.ClientSecretFile+o.RefreshTokenFile != "" || !o.ClientSecret.IsZero() || !o.RefreshToken.IsZero()
}

func (q *Quota) defaults() {
	q.Rate, q.Burst, q.Jitter, q.Adapt, q.Reserve = 1, 10, Duration(200*time.Millisecond), true, 0.5
	q.MaxWait, q.MaxQueue = Duration(time.Minute), 1000
	q.DefaultPause, q.MaxPause = Duration(10*time.Second), Duration(5*time.Minute)
}

func (t *Tool) defaults() { t.Weight = 1 }
