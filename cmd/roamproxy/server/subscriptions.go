package server

import (
	"encoding/json"
	"io"
	"net/http"

	"roamproxy/proxy"
)

// These are the only methods of Roam that the admin listener calls, so that it is not a way to use the credential for others.
const (
	listWebhooks       = "/v1/webhook.list"
	subscribeWebhook   = "/v1/webhook.subscribe"
	unsubscribeWebhook = "/v1/webhook.unsubscribe"
)

// maxSubscriptions bounds the list of subscriptions in bytes. Each has about 200 bytes.
const maxSubscriptions = 1 << 20

// subscriptions answers /api/webhooks. GET lists subscriptions, POST with ?url= and ?event= adds one, POST with ?remove= removes one. Each
// is one call to Roam.
func (s *Server) subscriptions(w http.ResponseWriter, req *http.Request) {
	method, target, body := http.MethodGet, listWebhooks, map[string]string(nil)
	query := req.URL.Query()
	switch {
	case req.Method == http.MethodGet:
	case query.Get("remove") != "":
		method, target, body = http.MethodPost, unsubscribeWebhook, map[string]string{"id": query.Get("remove")}
	case query.Get("url") != "" && query.Get("event") != "":
		method, target, body = http.MethodPost, subscribeWebhook, map[string]string{"url": query.Get("url"), "event": query.Get("event")}
	default:
		http.Error(w, "want url and event, or remove", http.StatusBadRequest)
		return
	}
	var content []byte
	if body != nil {
		content, _ = json.Marshal(body)
	}
	res, err := s.current().proxy.Call(req.Context(), method, target, content)
	if err != nil {
		http.Error(w, proxy.ErrorString(err), http.StatusBadRequest)
		return
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxSubscriptions))
	if err != nil {
		http.Error(w, "Roam's answer is incomplete", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if res.StatusCode/100 != 2 {
		w.WriteHeader(http.StatusBadRequest)
	}
	w.Write(answer)
}
