package server

import (
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"roamproxy/proxy/webhook"
)

// deliver sends a webhook that is signed with a secret as Roam signs it.
func deliver(t *testing.T, to *webhooks, secret, id string) {
	t.Helper()
	const body = `{"type":"chat.message","data":{"chatId":"C-1"}}`
	signer, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	signature, err := signer.Sign(id, now, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequest("POST", "/roam", strings.NewReader(body))
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	req.Header.Set("Webhook-Signature", signature)
	to.ServeHTTP(httptest.NewRecorder(), req)
}

// ttl_with_webhooks applies only while webhooks arrive, because otherwise a change could stay unseen.
func TestHowLongWebhooksAreTrusted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const genuine, forged = "whsec_cm9hbXByb3h5LXNlcnZlci13ZWJob29rLXNlY3JldA==", "whsec_YW5vdGhlci1zZWNyZXQtb2YtYW5vdGhlci1zZW5kZXI="
		receiver, err := webhook.New(webhook.Options{
			Path:       "/roam",
			Secrets:    func() ([]string, error) { return []string{genuine}, nil },
			Invalidate: func(webhook.Event) {},
		})
		if err != nil {
			t.Fatal(err)
		}
		var a app
		a.webhooks.receiver.Store(receiver)
		a.webhooks.trust.Store(int64(10 * time.Minute))
		for _, step := range []struct {
			name   string
			passes time.Duration
			secret string // of a delivery; "": none
			want   bool
		}{
			{"before the first delivery", 0, "", false},
			{"after a forged delivery", 0, forged, false},
			{"after a genuine delivery", 0, genuine, true},
			{"almost ten minutes later", 10*time.Minute - time.Second, "", true},
			{"after ten minutes", time.Second, "", false},
			{"after the next delivery", time.Hour, genuine, true},
		} {
			time.Sleep(step.passes)
			if step.secret != "" {
				deliver(t, &a.webhooks, step.secret, step.name)
			}
			if got := a.webhooksArrive(); got != step.want {
				t.Errorf("%s: webhooksArrive() = %v, want %v", step.name, got, step.want)
			}
		}
	})
}
