package roamtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

type message struct {
	Type        string `json:"type"`
	ContentType string `json:"contentType"`
	Sender      string `json:"sender"`
	Chat        string `json:"chat"`
	Timestamp   int64  `json:"timestamp"` // microseconds; the message's name within its chat
	Text        string `json:"text"`
}

// chatHistory shows the newest message first, and the oldest first from a given moment on.
func (r *Roam) chatHistory(req *http.Request) (int, any) {
	chat := req.URL.Query().Get("chat")
	if chat == "" {
		return http.StatusBadRequest, problem{"missing_chat", "chat is required."}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	list, bad := between(req, r.data.messages[chat], func(m message) time.Time { return time.UnixMicro(m.Timestamp) }, true)
	if bad != nil {
		return http.StatusBadRequest, *bad
	}
	status, body := page(r, req, "messages", list, 10, 200)
	if answer, ok := body.(object); ok {
		answer["chat"] = chat
	}
	return status, body
}

// chatPost takes a chat, or a list of which the first is meant.
func (r *Roam) chatPost(req *http.Request) (int, any) {
	var in struct {
		Chat json.RawMessage `json:"chat"`
		Text string          `json:"text"`
	}
	if bad := decode(req, &in); bad != nil {
		return http.StatusBadRequest, *bad
	}
	var chat string
	var chats []string
	if json.Unmarshal(in.Chat, &chat) != nil && json.Unmarshal(in.Chat, &chats) == nil && len(chats) > 0 {
		chat = chats[0]
	}
	if chat == "" {
		return http.StatusBadRequest, problem{"missing_chat", "chat is required."}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.data.posted = max(r.data.posted+1, time.Now().UnixMicro())
	m := message{Type: "message", ContentType: "text", Sender: "B-" + id("bot", 0), Chat: chat, Timestamp: r.data.posted, Text: in.Text}
	r.data.messages[chat] = append(r.data.messages[chat], m)
	return http.StatusOK, object{"chat": chat, "timestamp": m.Timestamp}
}

// messageEventExport is one line of JSON for each message of a day.
func (r *Roam) messageEventExport(req *http.Request) (int, any) {
	var in struct{ Date string }
	if bad := decode(req, &in); bad != nil {
		return http.StatusBadRequest, *bad
	}
	if _, err := time.Parse(time.DateOnly, in.Date); err != nil {
		return http.StatusBadRequest, problem{"invalid_date", "date must be YYYY-MM-DD."}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines strings.Builder
	out := json.NewEncoder(&lines)
	for _, chat := range slices.Sorted(maps.Keys(r.data.messages)) {
		for _, m := range r.data.messages[chat] {
			if at := time.UnixMicro(m.Timestamp).UTC(); at.Format(time.DateOnly) == in.Date {
				out.Encode(object{"eventType": "sent", "eventId": fmt.Sprintf("%s-%d", chat, m.Timestamp), "timestamp": stamp(at), "message": m})
			}
		}
	}
	return http.StatusOK, raw{"application/x-ndjson", lines.String()}
}
