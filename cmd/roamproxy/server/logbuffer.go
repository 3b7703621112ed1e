package server

import (
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	// bufferedBytes bounds the lines that wait for a slow reader: about 3,000 calls.
	bufferedBytes = 1 << 20
	// flushTime bounds how long Close waits for the reader of the log.
	flushTime = time.Second
	// lossNoted is how long /readyz reports lost lines.
	lossNoted = 10 * time.Minute
)

// logBuffer writes log lines in a goroutine of its own, so that a slow reader of the log delays no call. Write never waits: a line that
// does not fit or cannot be written is dropped and counted.
type logBuffer struct {
	out   io.Writer
	wake  chan struct{} // capacity 1: there are lines
	ended chan struct{}

	mu     sync.Mutex // guards the following
	lines  [][]byte
	size   int // bytes of lines, including the one that is being written
	closed bool
	lost   uint64
	lastAt time.Time // time of the last loss
	onLoss func()    // nil before countWith
}

func newLogBuffer(out io.Writer) *logBuffer {
	b := &logBuffer{out: out, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	go b.run()
	return b
}

// Write adds a line, or drops it. It always succeeds.
func (b *logBuffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.size+len(line) > bufferedBytes {
		b.lose()
		return len(line), nil
	}
	b.lines = append(b.lines, append([]byte(nil), line...))
	b.size += len(line)
	b.signal()
	return len(line), nil
}

func (b *logBuffer) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// lose counts a line. The lock is held.
func (b *logBuffer) lose() {
	b.lost++
	b.lastAt = time.Now()
	if b.onLoss != nil {
		b.onLoss()
	}
}

func (b *logBuffer) run() {
	defer close(b.ended)
	for {
		line, ok := b.next()
		if !ok {
			return
		}
		_, err := b.out.Write(line) // may block as long as the reader does
		b.mu.Lock()
		b.size -= len(line)
		if err != nil {
			b.lose()
		}
		b.mu.Unlock()
	}
}

// next returns the oldest line, or false when the buffer is closed and empty.
func (b *logBuffer) next() ([]byte, bool) {
	for {
		b.mu.Lock()
		if len(b.lines) > 0 {
			line := b.lines[0]
			b.lines = b.lines[1:]
			b.mu.Unlock()
			return line, true
		}
		closed := b.closed
		b.mu.Unlock()
		if closed {
			return nil, false
		}
		<-b.wake
	}
}

// countWith makes the buffer call count for each lost line, also for those lost before. count must not write to the log.
func (b *logBuffer) countWith(count func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range b.lost {
		count()
	}
	b.onLoss = count
}

// note returns a sentence about lines that were lost recently; "" for none.
func (b *logBuffer) note() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lost == 0 || time.Since(b.lastAt) > lossNoted {
		return ""
	}
	return fmt.Sprintf("%d lines were lost, the last at %s UTC: the reader of the log is blocked or has ended", b.lost,
		b.lastAt.UTC().Format(time.TimeOnly))
}

// Close writes the remaining lines, for at most flushTime.
func (b *logBuffer) Close() {
	b.mu.Lock()
	b.closed = true
	b.signal()
	b.mu.Unlock()
	select {
	case <-b.ended:
	case <-time.After(flushTime):
	}
}
