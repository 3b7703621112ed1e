package eventstream

import (
	"bufio"
	"bytes"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// output records what a client reads.
type output struct {
	mu      sync.Mutex
	written bytes.Buffer
	flushed int
	err     error
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return 0, o.err
	}
	return o.written.Write(p)
}

func (o *output) FlushError() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flushed = o.written.Len()
	return nil
}

// read returns what was written, and how many bytes of it were flushed.
func (o *output) read() (string, int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.written.String(), o.flushed
}

func TestASilentStreamIsKeptAlive(t *testing.T) {
	for _, tt := range []struct {
		name   string
		pieces []string
		want   string // after a minute of silence
	}{
		{"that has not begun", nil, comment + comment},
		{"after an event", []string{"data: a\n\n"}, "data: a\n\n" + comment + comment},
		{"after an event that came in pieces", []string{"da", "ta: a\n", "\n"}, "data: a\n\n" + comment + comment},
		{"after an event with CRLF", []string{"data: a\r\n\r\n"}, "data: a\r\n\r\n" + comment + comment},
		{"after an event with CR", []string{"data: a\r\r"}, "data: a\r\r" + comment + comment},
		{"after a comment of Roam's", []string{": ping\n"}, ": ping\n" + comment + comment},
		{"within a line", []string{"data: a\n\ndata: b"}, "data: a\n\ndata: b"},
		{"within an event", []string{"data: a\n"}, "data: a\n"},
		{"within an event with CRLF", []string{"data: a\r\n"}, "data: a\r\n"},
		{"within a comment", []string{": pi"}, ": pi"},
		{"within an event that has a comment", []string{"id: 7\n: ping\n"}, "id: 7\n: ping\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				out := &output{}
				w := NewWriter(out, KeepAlive, func(err error) { t.Errorf("failed with %v, want no failure", err) })
				for _, piece := range tt.pieces {
					w.Write([]byte(piece))
				}
				time.Sleep(KeepAlive - time.Second)
				if got, _ := out.read(); got != strings.Join(tt.pieces, "") {
					t.Errorf("before %v: %q, want no comment yet", KeepAlive, got)
				}
				time.Sleep(time.Minute - KeepAlive + time.Second)
				if got, flushed := out.read(); got != tt.want || strings.HasSuffix(got, comment) && flushed != len(got) {
					t.Errorf("after a minute: %q, of which %d bytes are flushed; want %q", got, flushed, tt.want)
				}
				w.Stop()
				time.Sleep(time.Hour)
				if got, _ := out.read(); got != tt.want {
					t.Errorf("after its end: %q, want nothing more", got)
				}
			})
		})
	}
}

// A comment that cannot be written shows that the client has disconnected.
func TestAFailedCommentIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := make(chan error, 1)
		w := NewWriter(&output{err: errors.New("broken pipe")}, KeepAlive, func(err error) { failed <- err })
		defer w.Stop()
		if err := <-failed; err == nil {
			t.Error("got no error, want that of the write")
		}
	})
}

// events parses a stream as the HTML standard says: the lines of each event, without comments.
func events(stream string) (all [][]string) {
	var event []string
	lines := bufio.NewScanner(strings.NewReader(strings.ReplaceAll(strings.ReplaceAll(stream, "\r\n", "\n"), "\r", "\n")))
	for lines.Scan() {
		line := lines.Text()
		switch {
		case line == "" && event != nil:
			all = append(all, event)
			event = nil
		case line != "" && line[0] != ':':
			event = append(event, line)
		}
	}
	return all
}

// Comments never change the events that a client reads, wherever the pieces of the stream end.
func TestCommentsChangeNoEvent(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		pieces := rapid.SliceOf(rapid.StringOfN(rapid.SampledFrom([]rune("a:\n\r")), 1, 5, -1)).Draw(rt, "pieces")
		var got, want [][]string
		synctest.Test(t, func(*testing.T) {
			out := &output{}
			w := NewWriter(out, time.Second, func(error) {})
			for _, piece := range pieces {
				w.Write([]byte(piece))
				time.Sleep(2500 * time.Millisecond)
			}
			w.Stop()
			written, _ := out.read()
			got, want = events(written), events(strings.Join(pieces, ""))
		})
		if len(got) != len(want) {
			rt.Fatalf("%q is read as %q, want %q", pieces, got, want)
		}
		for i := range want {
			if strings.Join(got[i], "\n") != strings.Join(want[i], "\n") {
				rt.Fatalf("%q is read as %q, want %q", pieces, got, want)
			}
		}
	})
}

func TestWhichStreamsGetComments(t *testing.T) {
	for _, tt := range []struct {
		name   string
		header http.Header
		want   bool
	}{
		{"an event stream", http.Header{"Content-Type": {"text/event-stream"}}, true},
		{"with a charset", http.Header{"Content-Type": {"Text/Event-Stream; charset=utf-8"}}, true},
		{"a compressed one", http.Header{"Content-Type": {"text/event-stream"}, "Content-Encoding": {"gzip"}}, false},
		{"one of known length", http.Header{"Content-Type": {"text/event-stream"}, "Content-Length": {"10"}}, false},
		{"JSON", http.Header{"Content-Type": {"application/json"}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := CanComment(tt.header); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}
