package paging

import (
	"fmt"
	"testing"
)

func TestShapesAreBounded(t *testing.T) {
	var s shapes
	for i := range 2 * maxShapes {
		s.learn(fmt.Sprint(i), plain)
	}
	if n := len(s.known); n > maxShapes {
		t.Errorf("%d lists are remembered, want at most %d", n, maxShapes)
	}
}
