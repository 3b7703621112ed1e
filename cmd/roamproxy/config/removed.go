package config

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// removedKeys returns the keys of earlier versions, without the indexes of lists, and what replaces each. A configuration that has one
// is refused: its author believes that the value has an effect.
func removedKeys() map[string]string {
	return map[string]string{
		"credentials.oauth.authorize_url": "is no key any more: the page is beside token_url, " +
			"with authorize in place of its last part; remove the key",
		"credentials.oauth.scopes": "is no key any more: give the scopes to the login, with roamproxy login --scope SCOPE NAME",
		"limits.max_calls": "is no key any more: " +
			"twice quotas.max_queue and the calls in flight are the most that a tool may have; remove the key",
		"listen_group": "is no key any more: the socket gets the group of its directory; " +
			"for another one: chgrp GROUP DIRECTORY && chmod g+s DIRECTORY",
		"redis.key_file": "is no key any more: append the private key to the file of redis.cert_file",
	}
}

// removedKey returns what replaces a key of an earlier version, or "" for any other key.
func removedKey(key string) string {
	return removedKeys()[regexp.MustCompile(`\[\d+\]`).ReplaceAllString(key, "")]
}

// removedVariables reports the environment variables of removed keys that are set.
func removedVariables(getenv func(string) string) (mistakes []Mistake) {
	for _, key := range slices.Sorted(maps.Keys(removedKeys())) {
		if name := variable(key); getenv(name) != "" {
			mistakes = append(mistakes, Mistake{Where: "$" + name, Key: key, Text: removedKey(key)})
		}
	}
	return mistakes
}

// variable returns the name of the environment variable of a key.
func variable(key string) string {
	return "ROAMPROXY_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}
