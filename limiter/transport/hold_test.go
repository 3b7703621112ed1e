package transport

import (
	"io"
	"strings"
	"testing"

	"roamproxy/limiter"
)

// A write's body is small: what it takes should be of its size.
func BenchmarkHold(b *testing.B) {
	text := strings.Repeat("x", 300)
	store := NewBodies(0, "")
	for b.Loop() {
		h, err := store.hold(limiter.Tool{Name: "bot"}, io.NopCloser(strings.NewReader(text)))
		if err != nil {
			b.Fatal(err)
		}
		h.release()
	}
}
