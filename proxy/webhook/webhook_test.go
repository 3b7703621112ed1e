package webhook

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const (
	secret = "whsec_cm9hbXByb3h5LXdlYmhvb2stdGVzdC1zZWNyZXQtMQ=="
	other  = "whsec_cm9hbXByb3h5LXdlYmhvb2stdGVzdC1zZWNyZXQtMg=="
)

// receivers are the handlers of forwarded deliveries, by host.
type receivers map[string]func(*http.Request) (int, error)

func (r receivers) RoundTrip(req *http.Request) (*http.Response, error) {
	status, err := r[req.URL.Host](req)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Body: http.NoBody, Header: http.Header{}}, nil
}

// harness is a Receiver, and a record of what it did, in order.
type harness struct {
	*Receiver
	mu   sync.Mutex
	did  []string
	seen map[Result]int
}

func (h *harness) note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.did = append(h.did, fmt.Sprintf(format, args...))
}

func newHarness(t *testing.T, to receivers, hosts ...string) *harness {
	t.Helper()
	r := &harness{seen: map[Result]int{}}
	o := Options{
		Path: "/roam", Secrets: func() ([]string, error) { return []string{other, secret}, nil }, Transport: to,
		Invalidate: func(e Event) { r.note("invalidate %s %s", e.Name, e.Chat) },
		Observe:    func(res Result, _ Event, _ time.Duration) { r.mu.Lock(); r.seen[res]++; r.mu.Unlock() },
	}
	for _, h := range hosts {
		o.Forward = append(o.Forward, &url.URL{Scheme: "http", Host: h, Path: "/hook"})
	}
	var err error
	if r.Receiver, err = New(o); err != nil {
		t.Fatal(err)
	}
	return r
}

// signed returns a delivery as Roam makes it.
func signed(t *testing.T, with, id string, at time.Time, body string) *http.Request {
	t.Helper()
	signer, err := standardwebhooks.NewWebhook(with)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := signer.Sign(id, at, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequest("POST", "/roam", strings.NewReader(body))
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", fmt.Sprint(at.Unix()))
	req.Header.Set("Webhook-Signature", signature)
	return req
}

func deliver(r *harness, req *http.Request) int {
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	return w.Code
}

const message = `{"type":"chat.message","data":{"chatId":"C-1","text":"wake up"}}`

// The cache is invalidated before a bot is notified, so the bot reads no old answer.
func TestInvalidatesBeforeItForwards(t *testing.T) {
	var r *harness
	r = newHarness(t, receivers{"bot": func(req *http.Request) (int, error) {
		body, _ := io.ReadAll(req.Body)
		r.note("bot %s %s", req.Header.Get("Webhook-Id"), body)
		return 200, nil
	}}, "bot")
	if got := deliver(r, signed(t, secret, "msg_1", time.Now(), message)); got != 204 {
		t.Errorf("answered %d, want 204", got)
	}
	if got, want := strings.Join(r.did, "; "), "invalidate chat.message C-1; bot msg_1 "+message; got != want {
		t.Errorf("did %s\nwant %s", got, want)
	}
	if r.Last().IsZero() {
		t.Error("there is no time of the last delivery, want one")
	}
}

func TestOnlyGenuineDeliveriesAreProcessed(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name   string
		change func(*http.Request)
		req    *http.Request
		status int
		result Result
	}{
		{"forged", nil, signed(t, "whsec_"+strings.Repeat("QUJD", 12), "m", now, message), 401, Forged},
		{"another body", func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`{"type":"chat.message"}`)) },
			signed(t, secret, "m", now, message), 401, Forged},
		{"another id", func(r *http.Request) { r.Header.Set("Webhook-Id", "n") }, signed(t, secret, "m", now, message), 401, Forged},
		{"no signature", func(r *http.Request) { r.Header.Del("Webhook-Signature") }, signed(t, secret, "m", now, message), 400, Malformed},
		{"an empty signature", func(r *http.Request) { r.Header.Set("Webhook-Signature", "v1,") }, signed(t, secret, "m", now, message), 401,
			Forged},
		{"two ids", func(r *http.Request) { r.Header.Add("Webhook-Id", "n") }, signed(t, secret, "m", now, message), 400, Malformed},
		{"a huge id", nil, signed(t, secret, strings.Repeat("m", maxID+1), now, message), 400, Malformed},
		{"old", nil, signed(t, secret, "m", now.Add(-6*time.Minute), message), 400, Outdated},
		{"from the future", nil, signed(t, secret, "m", now.Add(6*time.Minute), message), 400, Outdated},
		{"a timestamp that is none", func(r *http.Request) { r.Header.Set("Webhook-Timestamp", "soon") }, signed(t, secret, "m", now, message),
			400, Malformed},
		{"no JSON", nil, signed(t, secret, "m", now, "hello"), 400, Malformed},
		{"a list", nil, signed(t, secret, "m", now, "[]"), 400, Malformed},
		{"too large", nil, signed(t, secret, "m", now, `{"x":"`+strings.Repeat("x", maxBody)+`"}`), 413, Malformed},
		{"too slow", func(r *http.Request) { r.Body = io.NopCloser(iotest.ErrReader(os.ErrDeadlineExceeded)) },
			signed(t, secret, "m", now, message), 408, Malformed},
		{"a GET", func(r *http.Request) { r.Method = "GET" }, signed(t, secret, "m", now, message), 404, NotFound},
		{"another path", func(r *http.Request) { r.URL.Path = "/" }, signed(t, secret, "m", now, message), 404, NotFound},
		{"an encoded path", func(r *http.Request) { r.URL.RawPath = "/%72oam" }, signed(t, secret, "m", now, message), 404, NotFound},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newHarness(t, receivers{}, "bot")
			if tt.change != nil {
				tt.change(tt.req)
			}
			if got := deliver(r, tt.req); got != tt.status || r.seen[tt.result] != 1 {
				t.Errorf("answered %d, counted %v; want %d, %s", got, r.seen, tt.status, tt.result)
			}
			if len(r.did) > 0 || !r.Last().IsZero() {
				t.Errorf("did %v, last %v; want nothing", r.did, r.Last())
			}
		})
	}
}

func TestARepeatedDeliveryIsProcessedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls, answer := 0, 200
		r := newHarness(t, receivers{"bot": func(*http.Request) (int, error) { calls++; return answer, nil }}, "bot")
		for _, step := range []struct {
			name                string
			after               time.Duration
			id                  string
			bot, status, called int
		}{
			{"the first time", 0, "a", 200, 204, 1},
			{"again", time.Second, "a", 200, 200, 1},
			{"another", 0, "b", 200, 204, 2},
			{"one that the bot does not take", 0, "c", 500, 502, 3},
			{"and again", 0, "c", 200, 204, 4},
			{"and once more", 0, "c", 200, 200, 4},
			{"after it is forgotten", idTTL + time.Second, "a", 200, 204, 5},
		} {
			time.Sleep(step.after)
			answer = step.bot
			if got := deliver(r, signed(t, secret, step.id, time.Now(), message)); got != step.status || calls != step.called {
				t.Errorf("%s: answered %d after %d calls, want %d after %d", step.name, got, calls, step.status, step.called)
			}
		}
	})
}

// Roam waits three seconds for an answer. A slow receiver must not delay the delivery to another.
func TestASlowReceiverDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var r *harness
		r = newHarness(t, receivers{
			"slow": func(req *http.Request) (int, error) { <-req.Context().Done(); return 0, req.Context().Err() },
			"bot":  func(*http.Request) (int, error) { r.note("bot after %v", time.Since(start)); return 200, nil },
		}, "slow", "bot")
		if got := deliver(r, signed(t, secret, "m", time.Now(), message)); got != 502 {
			t.Errorf("answered %d, want 502", got)
		}
		if got := time.Since(start); got != forwardTimeout {
			t.Errorf("answered after %v, want %v", got, forwardTimeout)
		}
		if got := strings.Join(r.did, "; "); !strings.Contains(got, "bot after 0s") {
			t.Errorf("did %s, want the bot to get it immediately", got)
		}
	})
}

func TestAnswersHaveTheOutcomeOfTheReceivers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		bot    func(*http.Request) (int, error)
		status int
	}{
		{"it takes it", func(*http.Request) (int, error) { return 202, nil }, 204},
		{"it redirects", func(*http.Request) (int, error) { return 302, nil }, 502},
		{"it is gone", func(*http.Request) (int, error) { return 410, nil }, 502},
		{"it cannot be reached", func(*http.Request) (int, error) { return 0, errors.New("http://user:password@bot refused") }, 502},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newHarness(t, receivers{"bot": tt.bot}, "bot")
			w := httptest.NewRecorder()
			r.ServeHTTP(w, signed(t, secret, "m", time.Now(), message))
			if w.Code != tt.status || strings.Contains(w.Body.String(), "password") {
				t.Errorf("answered %d %s, want %d and no password", w.Code, w.Body, tt.status)
			}
		})
	}
}

func TestChallengeIsAnswered(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		status     int
		want       string
	}{
		{"Roam verifies the URL", `{"type":"url_verification","challenge":"abc-123"}`, 200, `{"challenge":"abc-123"}`},
		{"a challenge with a tag in it", `{"challenge":"<script>"}`, 400, ""},
		{"a long one", `{"challenge":"` + strings.Repeat("a", 300) + `"}`, 400, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newHarness(t, receivers{}, "bot")
			w := httptest.NewRecorder()
			r.ServeHTTP(w, httptest.NewRequest("POST", "/roam", strings.NewReader(tt.body)))
			if w.Code != tt.status || strings.TrimSpace(w.Body.String()) != tt.want || len(r.did) > 0 {
				t.Errorf("answered %d %s, did %v; want %d %s", w.Code, w.Body, r.did, tt.status, tt.want)
			}
		})
	}
}

func TestUnusableSecretsAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name    string
		secrets []string
	}{
		{"none", nil},
		{"empty", []string{""}},
		{"a prefix alone", []string{"whsec_"}},
		{"short", []string{"whsec_c2hvcnQ="}},
		{"no base64", []string{"whsec_not base64 but quite long enough for it"}},
		{"one of two", []string{secret, "whsec_"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(Options{Path: "/", Secrets: func() ([]string, error) { return tt.secrets, nil }, Invalidate: func(Event) {}})
			if err == nil || strings.Contains(err.Error(), "whsec_c2") || strings.Contains(err.Error(), "not base64 but") {
				t.Errorf("got %v, want an error that does not show the secret", err)
			}
		})
	}
}

// Roam names events with dots on v1 and with colons or not at all on v0.
func TestParseEvent(t *testing.T) {
	for _, tt := range []struct{ body, name, chat string }{
		{message, "chat.message", "C-1"},
		{`{"event":"chat:message:dm","chat":"D-1"}`, "chat.message.dm", "D-1"},
		{`{"type":"message","contentType":"text","sender":"U-1","chat":"C-2","timestamp":1}`, "chat.message", "C-2"},
		{`{"chat":"C-3","timestamp":1,"name":"100","user":{"id":"U-1","name":"Jo"}}`, "chat.reaction", "C-3"},
		{`{"recordingId":"r","location":"x","startTime":"","endTime":""}`, "recording.saved", ""},
		{`{"id":"t","meetingId":"m"}`, "transcript.saved", ""},
		{`{"lobby":{"id":"l"},"booking":{"id":"b"}}`, "lobby.booked", ""},
		{`{"id":"U-1","name":"Jo","status":"checkedIn"}`, "user.status.update", ""},
		{`{"type":"onair.event.created","event":{"id":"e"}}`, "onair.event.created", ""},
		{`{"id":"m","name":"Cast","createdAt":"2026-01-01T00:00:00Z"}`, "magicast.created", ""},
		{`{"type":"token.revoked"}`, "token.revoked", ""},
		{`{"type":"Not A Name"}`, "", ""},
		{`{}`, "", ""},
	} {
		t.Run(tt.body, func(t *testing.T) {
			got, err := parseEvent([]byte(tt.body))
			if want := (Event{tt.name, tt.chat}); err != nil || got != want {
				t.Errorf("got %+v, %v; want %+v", got, err, want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(message)
	f.Add(`{"type":"message","chat":["x"]}`)
	f.Fuzz(func(t *testing.T, body string) {
		e, err := parseEvent([]byte(body))
		if err == nil && e.Name != "" && !isName(e.Name) {
			t.Errorf("got the name %q, want a valid one", e.Name)
		}
		parseChallenge([]byte(body))
	})
}

func TestDeliveryIDsAreBounded(t *testing.T) {
	var s deliveryIDs
	now := time.Now()
	for i := range 3 * maxIDs {
		s.add(fmt.Sprint(i), now)
	}
	if len(s.ids) > maxIDs || len(s.old) > maxIDs {
		t.Errorf("%d ids and %d places, want at most %d", len(s.ids), len(s.old), maxIDs)
	}
}
