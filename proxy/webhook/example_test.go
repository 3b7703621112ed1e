package webhook_test

import (
	"fmt"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"roamproxy/proxy/webhook"
)

// Roam reports a message. The receiver verifies the signature, and removes the cached answers of the chat.
func Example() {
	const secret = "whsec_cm9hbXRlc3Qtd2ViaG9vay1zZWNyZXQtb2YtMzItYg=="
	receiver, err := webhook.New(webhook.Options{
		Path:       "/webhooks/roam",
		Secrets:    func() ([]string, error) { return []string{secret}, nil },
		Invalidate: func(e webhook.Event) { fmt.Println("invalidate", e.Name, e.Chat) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	deliver := func(id, body string) {
		signer, _ := standardwebhooks.NewWebhook(secret)
		now := time.Now()
		signature, _ := signer.Sign(id, now, []byte(body))
		req := httptest.NewRequest("POST", "/webhooks/roam", strings.NewReader(body))
		req.Header.Set("Webhook-Id", id)
		req.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
		req.Header.Set("Webhook-Signature", signature)
		w := httptest.NewRecorder()
		receiver.ServeHTTP(w, req)
		fmt.Println(w.Code)
	}
	message := `{"type":"chat.message","data":{"chatId":"C-1","text":"hello"}}`
	deliver("msg_1", message)
	deliver("msg_1", message) // again
	// Output:
	// invalidate chat.message C-1
	// 204
	// 200
}
