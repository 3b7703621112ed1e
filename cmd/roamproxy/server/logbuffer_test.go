package server

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// gate is a writer that blocks until it is opened.
type gate struct {
	open chan struct{}

	mu   sync.Mutex // guards text
	text strings.Builder
}

func (g *gate) Write(p []byte) (int, error) {
	<-g.open
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.text.Write(p)
}

func (g *gate) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.text.String()
}

// While the reader is blocked, lines that do not fit are counted and calls are not delayed. The others are written afterwards.
func TestABlockedLogDropsLinesAndDelaysNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &gate{open: make(chan struct{})}
		b := newLogBuffer(out)
		line := strings.Repeat("x", 1023) + "\n"
		start, counted := time.Now(), 0
		for range 1500 {
			b.Write([]byte(line))
		}
		b.countWith(func() { counted++ })
		b.Write([]byte(line))
		if wait := time.Since(start); wait != 0 || counted != 1501-bufferedBytes/1024 {
			t.Errorf("%d lines were lost after %v, want %d at once", counted, wait, 1501-bufferedBytes/1024)
		}
		if note := b.note(); !strings.HasPrefix(note, "477 lines were lost, the last at ") {
			t.Errorf("the note is %q", note)
		}
		close(out.open)
		b.Close()
		if got := len(out.String()); got != bufferedBytes {
			t.Errorf("%d bytes were written, want the %d that fit", got, bufferedBytes)
		}
	})
}

func TestCloseWaitsOneSecondForABlockedLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &gate{open: make(chan struct{})}
		b := newLogBuffer(out)
		b.Write([]byte("stopped\n"))
		start := time.Now()
		b.Close()
		if wait := time.Since(start); wait != flushTime {
			t.Errorf("the end took %v, want %v", wait, flushTime)
		}
		close(out.open) // for the goroutine of this test
	})
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestLinesThatCannotBeWrittenAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newLogBuffer(failing{})
		for range 3 {
			b.Write([]byte("line\n"))
		}
		b.Close()
		if note := b.note(); !strings.HasPrefix(note, "3 lines were lost") {
			t.Errorf("the note is %q", note)
		}
		time.Sleep(lossNoted + time.Second)
		if note := b.note(); note != "" {
			t.Errorf("later the note is %q, want none", note)
		}
	})
}
