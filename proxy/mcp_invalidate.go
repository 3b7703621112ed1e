package proxy

import (
	"bytes"
	"io"
	"net/http"
	"strings"

	"roamproxy/proxy/eventstream"
	"roamproxy/proxy/rpc"
)

// mcpWrites returns the messages of a request that may change something at Roam.
func (p *Proxy) mcpWrites(rq *request) (all []rpc.Message) {
	if rq.messages == nil {
		return nil
	}
	for _, m := range rq.messages.Messages {
		if m.IsToolCall() && !p.hints.isRead(rq.upstream.name, m.Name) {
			all = append(all, m)
		}
	}
	return all
}

// invalidateCalls invalidates what the request's tool calls affect: the same as the methods that the tools are named after.
func (p *Proxy) invalidateCalls(rq *request) {
	for _, m := range p.mcpWrites(rq) {
		chat, _ := bodyField(bytes.NewReader(m.Arguments), "chat", "chatId")
		for _, written := range methodsOf(m.Name) {
			p.drop(p.routes.effectOfWrite(http.MethodPost, written), chat)
		}
	}
}

// methodsOf returns the methods that a tool may be named after: reaction.add for reaction_add. The noun may come later, as in
// add_reaction, so there is a candidate for each word. A word that is no noun of Roam's affects nothing.
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

// withInvalidation returns a body for the response that invalidates what the request's tool calls affect. In an event stream the result
// of a call comes long after the header, so each Read invalidates before the tool sees the bytes.
func (p *Proxy) withInvalidation(rq *request, res *http.Response) io.ReadCloser {
	if !eventstream.IsStream(res.Header) || len(p.mcpWrites(rq)) == 0 {
		return res.Body
	}
	return &invalidatingBody{res.Body, func() { p.invalidateCalls(rq) }}
}

type invalidatingBody struct {
	io.ReadCloser
	changed func()
}

func (b *invalidatingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.changed()
	return n, err
}
