package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// allKeys returns the keys of all single values and lists of values in t, the keys within lists included, without indexes.
func allKeys(t reflect.Type, prefix string) (keys []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		key, of := prefix+f.Tag.Get("key"), f.Type
		if of.Kind() == reflect.Slice || of.Kind() == reflect.Pointer {
			of = of.Elem()
		}
		_, own := reflect.New(of).Interface().(scalar)
		if of.Kind() == reflect.Struct && !own && of.Name() != "Secret" {
			keys = append(keys, allKeys(of, key+".")...)
		} else {
			keys = append(keys, key)
		}
	}
	return keys
}

// A key that no document recommends changing is a constant. A secret and the file that may hold it are one setting, since only one of
// the two may be given. The password for Redis is in redis.url, or in redis.password_file.
func TestTheNumberOfSettingsIsBounded(t *testing.T) {
	keys := allKeys(reflect.TypeFor[Config](), "")
	settings := slices.DeleteFunc(slices.Clone(keys), func(key string) bool {
		secret := strings.TrimSuffix(key, "_file")
		return key == "redis.password_file" || secret != key && (slices.Contains(keys, secret) || slices.Contains(keys, secret+"_sha256"))
	})
	if len(settings) > 75 {
		t.Errorf("%d settings (%d keys), want at most 75; make one a constant:\n%s", len(settings), len(keys), strings.Join(settings, "\n"))
	}
}

func TestARemovedKeyNamesWhatReplacesIt(t *testing.T) {
	keys := allKeys(reflect.TypeFor[Config](), "")
	for key, want := range removedKeys() {
		t.Run(key, func(t *testing.T) {
			if slices.Contains(keys, key) {
				t.Error("the key is not removed")
			}
			if !strings.HasPrefix(want, "is no key any more: ") {
				t.Errorf("the message is %q", want)
			}
			if strings.HasPrefix(key, "credentials.") {
				return // a key in a list has no variable
			}
			env := home()
			env[variable(key)] = "x"
			_, err := loadText(t, env, "")
			if err == nil || !strings.Contains(err.Error(), "$"+variable(key)+": "+key+": is no key any more") {
				t.Errorf("its variable: %v, want an error", err)
			}
		})
	}
}
