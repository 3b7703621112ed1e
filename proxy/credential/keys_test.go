package credential

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Seen to fail with keys of the credential's name, and of the path of its file.
func TestKeysFollowTheSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	synctest.Test(t, func(t *testing.T) {
		of := func(s Source, host string) *Keys { return (&Transport{Source: s, Scheme: "https", Host: host}).Keys() }
		write(t, path, hidden)
		file := &Transport{Source: NewFile(path), Scheme: "https", Host: "api.ro.am"}
		first := file.Keys()
		if literal := of(Key{NewSecret(hidden)}, "api.ro.am"); literal.Partition != first.Partition || !bytes.Equal(literal.Seal, first.Seal) {
			t.Error("the same secret has other keys when it is not from a file, want the same")
		}
		if again := file.Keys(); again != first {
			t.Error("the keys are computed again each time, want the same object")
		}
		if elsewhere := of(Key{NewSecret(hidden)}, "other.example"); elsewhere.Partition == first.Partition ||
			bytes.Equal(elsewhere.Seal, first.Seal) {
			t.Error("another upstream has the same keys, want others")
		}
		if first.Partition == string(first.Seal) || leaks(first.Partition+string(first.Seal)) || strings.Contains(first.Partition, hidden[:8]) {
			t.Error("the keys show each other, or the secret; want neither")
		}
		write(t, path, "another-secret")
		time.Sleep(maxFileAge)
		if second := file.Keys(); second.Partition == first.Partition || bytes.Equal(second.Seal, first.Seal) {
			t.Error("a secret that was replaced has the keys of the old one, want others")
		}
		write(t, path, hidden)
		time.Sleep(maxFileAge)
		if third := file.Keys(); third.Partition != first.Partition {
			t.Error("a secret that is restored has other keys, want its first ones")
		}
	})
}
