package webhook

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
)

// Event is what a delivery reports.
type Event struct {
	Name string // with dots, such as chat.message; "": unknown
	Chat string // id of the chat that it is about; "": none
}

// parseEvent returns the event of a delivery. v1 names it in type or event. v0 names some events with colons; others are recognised by
// their fields.
func parseEvent(body []byte) (Event, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil || fields == nil {
		return Event{}, errors.New("webhook: the body is not a JSON object")
	}
	e := Event{Name: eventName(fields)}
	e.Chat = textField(fields, "chatId", "chat")
	for _, inner := range []string{"data", "message"} {
		var more map[string]json.RawMessage
		if e.Chat == "" && json.Unmarshal(fields[inner], &more) == nil {
			e.Chat = textField(more, "chatId", "chat")
		}
	}
	return e, nil
}

func eventName(fields map[string]json.RawMessage) string {
	for _, field := range []string{"type", "event", "eventType"} {
		if s := strings.ReplaceAll(textField(fields, field), ":", "."); isName(s) {
			return s
		}
	}
	has := func(field string) bool { return fields[field] != nil }
	switch {
	case textField(fields, "type") == "message":
		return "chat.message"
	case has("chat") && has("name") && has("timestamp"):
		return "chat.reaction"
	case has("recordingId"):
		return "recording.saved"
	case has("meetingId"):
		return "transcript.saved"
	case has("lobby") && has("booking"):
		return "lobby.booked"
	case has("status") && strings.HasPrefix(textField(fields, "id"), "U-"):
		return "user.status.update"
	case has("createdAt") && has("name"):
		return "magicast.created"
	}
	return ""
}

// isName reports whether s looks like the name of an event: words with dots between them.
func isName(s string) bool { return regexp.MustCompile(`^[a-z]+(\.[a-zA-Z]+)+$`).MatchString(s) }

func textField(fields map[string]json.RawMessage, names ...string) string {
	for _, n := range names {
		var s string
		if json.Unmarshal(fields[n], &s) == nil && s != "" {
			return s
		}
	}
	return ""
}

// parseChallenge returns the challenge that Roam sends to verify a URL. Roam does not document its form; this is the usual one: an object
// with a short challenge. The answer needs no signature, because it changes nothing.
func parseChallenge(body []byte) (string, bool) {
	if len(body) > 1024 {
		return "", false
	}
	var c struct{ Challenge string }
	if json.Unmarshal(body, &c) != nil || !regexp.MustCompile(`^[A-Za-z0-9._~+/=-]{1,256}$`).MatchString(c.Challenge) {
		return "", false
	}
	return c.Challenge, true
}
