package config

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// checkProxies reports a proxy in the environment that Go would ignore or misread: calls would go to Roam directly, which the operator
// does not want. The message omits the value, which may hold a password.
func checkProxies(getenv func(string) string) (mistakes []Mistake) {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		if value := getenv(name); value != "" && !isProxy(value) {
			mistakes = append(mistakes, Mistake{Where: "$" + name, Text: "want an address such as http://proxy.example:3128; " +
				"in a user name or password % is written %25, # is %23, / is %2F and @ is %40"})
		}
	}
	return mistakes
}

// isProxy reports whether net/http accepts the value: an address with a scheme, or host:port.
func isProxy(value string) bool {
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	u, err := url.Parse(value)
	if err != nil || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) || u.Hostname() == "" || u.Fragment != "" ||
		u.RawQuery != "" {
		return false
	}
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	port, err := strconv.Atoi(u.Port())
	return err == nil && port > 0 && port < 1<<16
}
