package roamtest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// receiver is a subscriber on loopback that checks signatures.
type receiver struct {
	*httptest.Server
	bodies  chan string
	invalid chan error
}

func newReceiver(t *testing.T, status int) *receiver {
	verifier, err := standardwebhooks.NewWebhook(WebhookSecret)
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{bodies: make(chan string, 10), invalid: make(chan error, 10)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		if err := verifier.Verify(body, req.Header); err != nil {
			r.invalid <- err
		}
		r.bodies <- string(body)
		w.WriteHeader(status)
	}))
	t.Cleanup(r.Close)
	return r
}

func TestWebhooksAreSignedAndDeliveredOnce(t *testing.T) {
	roam := unmetered()
	rt := roam.Transport()
	to := newReceiver(t, 204)
	subscription := `{"url":"` + to.URL + `","event":"chat.message"}`
	_, first := call(t, rt, "POST", "/v1/webhook.subscribe", subscription)
	if _, again := call(t, rt, "POST", "/v1/webhook.subscribe", subscription); again != first {
		t.Errorf("subscribing again made another subscription: %s, want %s", again, first)
	}
	call(t, rt, "POST", "/v1/chat.post", `{"chatId":"C-1","text":"wake up"}`)
	call(t, rt, "POST", "/v1/chat.typing", `{"chatId":"C-1"}`)
	roam.WaitDeliveries()
	select {
	case err := <-to.invalid:
		t.Errorf("the signature is not valid: %v", err)
	default:
	}
	if got := len(to.bodies); got != 1 {
		t.Fatalf("%d deliveries, want 1", got)
	}
	if body := <-to.bodies; !strings.Contains(body, `"type":"chat.message"`) || !strings.Contains(body, `"chatId":"C-1"`) {
		t.Errorf("delivered %s, want the message of C-1", body)
	}
}

func TestFailedDeliveriesAreListed(t *testing.T) {
	roam := unmetered()
	rt := roam.Transport()
	to := newReceiver(t, 500)
	call(t, rt, "POST", "/v0/webhook.subscribe", `{"url":"`+to.URL+`","event":"chat.message.dm"}`)
	call(t, rt, "POST", "/v0/chat.post", `{"chat":"C-1","text":"hello"}`)
	roam.WaitDeliveries()
	if _, body := call(t, rt, "GET", "/v1/webhook.deliveries", ""); !strings.Contains(body, "500 Internal Server Error") {
		t.Errorf("the deliveries are %s, want the failed one among them", body)
	}
	if got := len(to.bodies); got != 1 {
		t.Errorf("%d attempts, want 1: Roam does not repeat them", got)
	}
}

func TestOtherHostsGetNoWebhooks(t *testing.T) {
	for _, target := range []string{"http://example.com/hook", "http://10.0.0.1/hook", "://", ""} {
		t.Run(target, func(t *testing.T) {
			res, body := call(t, unmetered().Transport(), "POST", "/v1/webhook.subscribe", `{"url":"`+target+`","event":"chat.message"}`)
			if res.StatusCode != 400 || !strings.Contains(body, "invalid_url") {
				t.Errorf("got %d %s, want 400 invalid_url", res.StatusCode, body)
			}
		})
	}
}
