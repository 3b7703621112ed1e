package proxy

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"

	"roamproxy/proxy/eventstream"
	"roamproxy/proxy/rpc"
)

// isChange reports whether a message may change something at Roam.
func isChange(m rpc.Message) bool { return m.IsToolCall() && !rpc.Reads(m.Name) }

// invalidateCalls invalidates what the calls of tools among the request's messages affect: the same as the methods of their names.
func (p *Proxy) invalidateCalls(v *request) {
	if v.messages == nil {
		return
	}
	for _, m := range v.messages.Messages {
		if !isChange(m) {
			continue
		}
		chat, _ := bodyField(bytes.NewReader(m.Arguments), "chat", "chatId")
		for _, written := range methodsOf(m.Name) {
			p.invalidate(http.MethodPost, written, chat)
		}
	}
}

// methodsOf returns the methods that a tool may stand for: reaction_add is reaction.add. Where the noun comes later, as in
// add_reaction, it is found there. A word that is no noun of Roam's affects nothing.
func methodsOf(tool string) (all []string) {
	words := rpc.Words(tool)
	for i, word := range words {
		switch word {
		case "message", "messages", "conversation", "dm":
			words[i] = "chat"
		}
	}
	for i := range words {
		all = append(all, "/v1/"+strings.Join(words[i:], "."))
	}
	return all
}

// changing returns the body of a response to the request, which invalidates what the calls of tools in it affect. In an event stream
// a tool has done its work only when its result comes, long after the header: so each piece invalidates before the tool sees it.
func (p *Proxy) changing(v *request, res *http.Response) io.ReadCloser {
	if v.messages == nil || !eventstream.IsStream(res.Header) || !slices.ContainsFunc(v.messages.Messages, isChange) {
		return res.Body
	}
	return &changingBody{res.Body, func() { p.invalidateCalls(v) }}
}

type changingBody struct {
	io.ReadCloser
	changed func()
}

func (b *changingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.changed()
	return n, err
}
