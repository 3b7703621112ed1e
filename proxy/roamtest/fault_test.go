package roamtest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// outcome returns how a call ended, in the same words with a socket and without. Its timeout is short where silence is expected.
func outcome(rt http.RoundTripper, base, want string) string {
	ctx, cancel := context.WithCancelCause(context.Background())
	silence := time.AfterFunc(timeout(strings.HasPrefix(want, "no answer: silence")), func() { cancel(context.DeadlineExceeded) })
	defer silence.Stop()
	req, _ := http.NewRequestWithContext(ctx, "GET", base+"/v1/groups.list", nil)
	req.Header.Set("Authorization", "Bearer "+DefaultKey)
	res, err := rt.RoundTrip(req)
	if err != nil {
		return "no answer: " + cause(err)
	}
	defer res.Body.Close()
	silence.Reset(timeout(strings.HasSuffix(want, ", then silence")))
	if _, err := io.ReadAll(res.Body); err != nil {
		return res.Status[:3] + ", then " + cause(err)
	}
	return res.Status[:3] + " " + strings.Join(res.Header["Retry-After"], "|")
}

func timeout(silent bool) time.Duration {
	if silent {
		return 250 * time.Millisecond
	}
	return 20 * time.Second
}

func cause(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "silence"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "broken"
	}
	return err.Error()
}

func TestFaultsAreTheSameWithAndWithoutASocket(t *testing.T) {
	server := NewServer(Options{Rate: 1000, Burst: 1000})
	defer server.Close()
	network := &http.Transport{DisableKeepAlives: true}
	for _, tt := range []struct {
		name  string
		fault Fault
		want  string
	}{
		{"a 429 with a wait", Throttle("7"), "429 7"},
		{"a 429 with two waits", Throttle("7", "9"), "429 7|9"},
		{"a 429 with none", Throttle(), "429 "},
		{"a failure of Roam's", Status(500, "oops"), "500 "},
		{"a 200 with a Retry-After", Status(200, "{}", "Retry-After", "3"), "200 3"},
		{"a late answer", Delay(time.Millisecond), "200 "},
		{"silence", Hang(), "no answer: silence"},
		{"a reset before the answer", ResetBefore(), "no answer: broken"},
		{"a reset after the header", ResetAfterHeaders(), "200, then broken"},
		{"a reset within the body", ResetInBody(), "200, then broken"},
		{"a truncated body", Truncate(), "200, then broken"},
		{"a slow body", SlowBody(time.Millisecond), "200 "},
		{"a body that is too slow", SlowBody(time.Hour), "200, then silence"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server.Script(tt.fault.On("GET /v1/*").Times(2))
			if got := outcome(network, server.URL, tt.want); got != tt.want {
				t.Errorf("%s on a socket: %q, want %q", tt.name, got, tt.want)
			}
			if got := outcome(server.Transport(), server.URL, tt.want); got != tt.want {
				t.Errorf("%s without one: %q, want %q", tt.name, got, tt.want)
			}
			if got := outcome(server.Transport(), server.URL, "200 "); got != "200 " {
				t.Errorf("after %s: %q, want the usual answer", tt.name, got)
			}
		})
	}
}

func TestAFaultAffectsOnlyTheCallItNames(t *testing.T) {
	roam := unmetered()
	roam.Script(Status(503, "").On("POST /v1/chat.*"))
	if res, _ := call(t, roam.Transport(), "GET", "/v1/groups.list", ""); res.StatusCode != 200 {
		t.Errorf("another call: %d, want 200", res.StatusCode)
	}
	if res, _ := call(t, roam.Transport(), "POST", "/v1/chat.post", `{"chat":"C-1"}`); res.StatusCode != 503 {
		t.Errorf("the call it names: %d, want 503", res.StatusCode)
	}
}

func TestAddHeaderAddsFields(t *testing.T) {
	roam := unmetered()
	roam.AddHeader("/v1/groups.list", http.Header{"Etag": {`"1"`}})
	if res, _ := call(t, roam.Transport(), "GET", "/v1/groups.list", ""); res.Header.Get("ETag") != `"1"` {
		t.Errorf("ETag = %q, want \"1\"", res.Header.Get("ETag"))
	}
}

func TestTransportCallsTheHooksOfHttptrace(t *testing.T) {
	var steps []string
	trace := &httptrace.ClientTrace{
		GotConn:              func(httptrace.GotConnInfo) { steps = append(steps, "connection") },
		WroteRequest:         func(httptrace.WroteRequestInfo) { steps = append(steps, "request") },
		GotFirstResponseByte: func() { steps = append(steps, "answer") },
	}
	req, _ := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "HEAD", "http://roam.example/v1/groups.list", nil)
	res, err := unmetered().Transport().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if want := []string{"connection", "request", "answer"}; !slices.Equal(steps, want) {
		t.Errorf("trace = %q, want %q", steps, want)
	}
}

func TestLatencyPassesInSimulatedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		call(t, New(Options{Latency: 300 * time.Millisecond}).Transport(), "GET", "/v1/groups.list", "")
		if got := time.Since(start); got != 300*time.Millisecond {
			t.Errorf("the call took %v, want 300ms", got)
		}
	})
}
