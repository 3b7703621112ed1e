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
	ChatID      string `json:"chatId,omitempty"`          // on v1
	Thread      int64  `json:"threadTimestamp,omitempty"` // of the message that this one answers
	Timestamp   int64  `json:"timestamp"`                 // microseconds; the message's name within its chat
	Text        string `json:"text"`
	Reactions   []any  `json:"reactions,omitempty"`
}

func (m message) at() time.Time { return time.UnixMicro(m.Timestamp) }

func (r *Roam) chatMethods() map[string]route {
	return map[string]route{
		"chat.list":             get(r.chatList),
		"conversation.list":     get(r.conversationList),
		"chat.history":          get(r.chatHistory),
		"chat.search":           query(r.chatSearch),
		"chat.post":             post(r.chatPost),
		"chat.postEphemeral":    post(r.chatTyping), // it cannot be read later
		"chat.sendMessage":      post(r.chatSendMessage),
		"chat.update":           post(r.chatUpdate),
		"chat.delete":           post(r.chatDelete),
		"chat.typing":           post(r.chatTyping),
		"chat.unfurl":           post(r.chatTyping),
		"chat.startStream":      post(r.chatPost),
		"chat.appendStream":     post(r.chatAppend),
		"chat.stopStream":       post(r.chatAppend),
		"chat.scheduled.list":   get(func(in *request) (int, any) { return page(r, in, "scheduled", r.data.scheduled, 10, 100) }),
		"chat.scheduled.cancel": post(r.chatScheduledCancel),
		"chat.link.create":      post(r.chatLinkCreate),
		"chat.link.resolve":     query(r.chatLinkResolve),
		"reaction.add":          post(r.reactionAdd),
		"reaction.remove":       post(r.reactionRemove),
		"reaction.list":         get(r.reactionList),
		"messageevent.export":   query(r.messageEventExport),
	}
}

// chat returns the chat that a call names: v0 by chat, which may be a list; v1 by chatId, groupId or the email of a user.
func (r *Roam) chat(in *request) string {
	if chats := in.texts("chat"); len(chats) > 0 {
		return chats[0]
	}
	if chat := in.text("chatId", "chat", "groupId"); chat != "" {
		return chat
	}
	if email := in.text("email"); email != "" {
		for _, u := range r.data.users {
			if u.Email == email {
				return "D-" + strings.TrimPrefix(u.ID, "U-")
			}
		}
	}
	return ""
}

// naming returns the field by which an answer names a chat.
func naming(in *request, chat string) object {
	if in.v1 {
		return object{"chatId": chat}
	}
	return object{"chat": chat}
}

// chats lists every chat, the one that began last first: the public groups, and those that have messages.
func (r *Roam) chats(in *request) collection {
	var list collection
	for _, g := range r.data.groups {
		list = append(list, object{"id": g.ID, "group": g.ID, "name": g.Name, "started": stamp(g.Created)})
	}
	for _, chat := range slices.Sorted(maps.Keys(r.data.messages)) {
		if messages := r.data.messages[chat]; len(messages) > 0 && list.index(chat) < 0 {
			list = append(list, object{"id": chat, "name": "Chat " + chat, "started": stamp(messages[0].at())})
		}
	}
	slices.SortStableFunc(list, func(a, b object) int { return strings.Compare(b.text("started"), a.text("started")) })
	for _, c := range list {
		if in.v1 {
			c["chatId"] = c["id"]
		}
	}
	return list
}

func (r *Roam) chatList(in *request) (int, any) {
	return page(r, in, "chats", r.chats(in), 10, 50)
}

func (r *Roam) conversationList(in *request) (int, any) {
	return page(r, in, "conversations", r.chats(in), 10, 50)
}

// chatHistory shows the newest message first, and with after the oldest first.
func (r *Roam) chatHistory(in *request) (int, any) {
	chat := r.chat(in)
	if chat == "" {
		return missing("chat")
	}
	list, bad := between(in, r.shown(in, chat), message.at, true)
	if bad != nil {
		return http.StatusBadRequest, *bad
	}
	if thread := in.number("threadTimestamp"); thread != 0 {
		list = slices.DeleteFunc(list, func(m message) bool { return m.Thread != thread && m.Timestamp != thread })
	}
	status, body := page(r, in, "messages", list, 10, 200)
	if answer, ok := body.(object); ok {
		answer.with(naming(in, chat))
	}
	return status, body
}

// shown returns the messages of a chat as the called version shows them, oldest first.
func (r *Roam) shown(in *request, chat string) []message {
	list := slices.Clone(r.data.messages[chat])
	for i := range list {
		if in.v1 {
			list[i].ChatID = chat
		}
	}
	return list
}

func (r *Roam) chatSearch(in *request) (int, any) {
	wanted := strings.ToLower(in.text("query", "text"))
	var found []message
	for _, chat := range slices.Sorted(maps.Keys(r.data.messages)) {
		for _, m := range r.shown(in, chat) {
			if strings.Contains(strings.ToLower(m.Text), wanted) {
				found = append(found, m)
			}
		}
	}
	return page(r, in, "messages", found, 10, 200)
}

func (r *Roam) chatPost(in *request) (int, any) {
	chat := r.chat(in)
	if chat == "" {
		return missing("chat")
	}
	if len(in.text("text")) > 8000 {
		return http.StatusBadRequest, problem{"text_too_long", "text may have 8000 bytes."}
	}
	m := r.post(chat, in.text("text"), max(in.number("threadTimestamp"), in.number("replyTimestamp")))
	answer := naming(in, chat).with(object{"timestamp": m.Timestamp})
	if m.Thread != 0 {
		answer["threadTimestamp"] = m.Thread
	}
	return http.StatusOK, answer
}

// post appends a message with a timestamp later than any other.
func (r *Roam) post(chat, text string, thread int64) message {
	r.data.posted = max(r.data.posted+1, time.Now().UnixMicro())
	m := message{Type: "message", ContentType: "text", Sender: "B-" + id("bot", 0), Chat: chat, Thread: thread, Timestamp: r.data.posted,
		Text: text}
	r.data.messages[chat] = append(r.data.messages[chat], m)
	r.report("chat.message", object{"chatId": chat, "chat": chat, "timestamp": m.Timestamp, "text": text, "sender": m.Sender})
	return m
}

// chatSendMessage is the older form: a group's id, and no timestamp in the answer.
func (r *Roam) chatSendMessage(in *request) (int, any) {
	recipients := in.texts("recipients")
	if len(recipients) == 0 {
		return missing("recipients")
	}
	r.post(recipients[0], in.text("text"), 0)
	return http.StatusOK, object{"chatId": recipients[0], "status": "ok"}
}

// message returns the message that a call names by chat and timestamp, for the caller to change.
func (r *Roam) message(in *request) (chat string, m *message) {
	chat = r.chat(in)
	list := r.data.messages[chat]
	i := slices.IndexFunc(list, func(m message) bool { return m.Timestamp == in.number("timestamp") })
	if i < 0 {
		return chat, nil
	}
	return chat, &list[i]
}

func (r *Roam) chatUpdate(in *request) (int, any) {
	chat, m := r.message(in)
	if m == nil {
		return notFound("message")
	}
	if _, ok := in.fields["text"]; ok {
		m.Text = in.text("text")
	}
	return http.StatusOK, naming(in, chat).with(object{"timestamp": m.Timestamp})
}

// chatAppend adds to the text of a message that is being streamed, or replaces it with snapshot.
func (r *Roam) chatAppend(in *request) (int, any) {
	chat, m := r.message(in)
	if m == nil {
		return notFound("message")
	}
	if snapshot, _ := in.fields["snapshot"].(bool); snapshot {
		m.Text = ""
	}
	m.Text += in.text("text")
	return http.StatusOK, naming(in, chat).with(object{"timestamp": m.Timestamp})
}

func (r *Roam) chatDelete(in *request) (int, any) {
	chat, m := r.message(in)
	if m == nil {
		return notFound("message")
	}
	timestamp := m.Timestamp
	r.data.messages[chat] = slices.DeleteFunc(r.data.messages[chat], func(m message) bool { return m.Timestamp == timestamp })
	return http.StatusOK, naming(in, chat).with(object{"timestamp": timestamp})
}

// chatTyping changes nothing that can be read.
func (r *Roam) chatTyping(in *request) (int, any) {
	if r.chat(in) == "" {
		return missing("chat")
	}
	return http.StatusOK, object{}
}

func (r *Roam) chatScheduledCancel(in *request) (int, any) {
	if !r.data.scheduled.remove(in.text("id")) {
		return notFound("scheduled_message")
	}
	return http.StatusNoContent, nil
}

func (r *Roam) chatLinkCreate(in *request) (int, any) {
	chat := r.chat(in)
	if chat == "" {
		return missing("chat")
	}
	return http.StatusOK, object{"url": "https://ro.am/chat/" + chat}
}

func (r *Roam) chatLinkResolve(in *request) (int, any) {
	chat, ok := strings.CutPrefix(in.text("url"), "https://ro.am/chat/")
	if !ok || chat == "" {
		return notFound("link")
	}
	return http.StatusOK, naming(in, chat)
}

func (r *Roam) reactionAdd(in *request) (int, any) {
	chat, m := r.message(in)
	name := in.text("name")
	switch {
	case m == nil:
		return notFound("message")
	case name == "":
		return missing("name")
	}
	reaction := object{"chat": chat, "timestamp": m.Timestamp, "name": name, "user": object{"id": "B-" + id("bot", 0), "name": "Example bot"}}
	m.Reactions = append(slices.Clone(m.Reactions), reaction)
	r.report("chat.reaction", reaction.with(object{"chatId": chat}))
	return http.StatusOK, object{}
}

func (r *Roam) reactionRemove(in *request) (int, any) {
	_, m := r.message(in)
	if m == nil {
		return notFound("message")
	}
	m.Reactions = slices.DeleteFunc(slices.Clone(m.Reactions), func(v any) bool { return v.(object).text("name") == in.text("name") })
	return http.StatusOK, object{}
}

func (r *Roam) reactionList(in *request) (int, any) {
	_, m := r.message(in)
	if m == nil {
		return notFound("message")
	}
	return page(r, in, "reactions", m.Reactions, 10, 100)
}

// messageEventExport answers with a line of JSON for each message of a day.
func (r *Roam) messageEventExport(in *request) (int, any) {
	day := in.text("date")
	if _, err := time.Parse(time.DateOnly, day); err != nil {
		return http.StatusBadRequest, problem{"invalid_date", "date must be YYYY-MM-DD."}
	}
	var lines strings.Builder
	out := json.NewEncoder(&lines)
	for _, chat := range slices.Sorted(maps.Keys(r.data.messages)) {
		for _, m := range r.data.messages[chat] {
			if at := m.at().UTC(); at.Format(time.DateOnly) == day {
				out.Encode(object{"eventType": "sent", "eventId": fmt.Sprintf("%s-%d", chat, m.Timestamp), "timestamp": stamp(at), "message": m})
			}
		}
	}
	return http.StatusOK, raw{"application/x-ndjson", lines.String()}
}
