package limiter

import (
	"io"
	"strings"
	"testing"
)

// A write's body is small: what it takes should be of its size.
func BenchmarkHold(b *testing.B) {
	text := strings.Repeat("x", 300)
	store := &Bodies{}
	for b.Loop() {
		h, err := store.hold(io.NopCloser(strings.NewReader(text)))
		if err != nil {
			b.Fatal(err)
		}
		h.release()
	}
}
