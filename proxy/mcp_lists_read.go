package proxy

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"roamproxy/proxy/eventstream"
	"roamproxy/proxy/httpbody"
)

// readList caches the list in Roam's response, and replaces the response by the answer for this tool. It leaves a response unchanged
// that is no list, or too large.
func (p *Proxy) readList(rq *request, res *http.Response) {
	if rq.list == nil || res.StatusCode != http.StatusOK || res.Header.Get("Content-Encoding") != "" {
		return
	}
	var before bytes.Buffer // what was read, to put it back
	in := io.TeeReader(io.LimitReader(res.Body, maxList), &before)
	var text []byte
	if eventstream.IsStream(res.Header) {
		text = firstEvent(in)
	} else {
		text, _ = io.ReadAll(in)
	}
	kept := listIn(text, rq.messages.Messages[0].ID)
	if kept == nil {
		res.Body = httpbody.Unread(before.Bytes(), res.Body, nil)
		return
	}
	if !strings.Contains(res.Header.Get("Cache-Control"), "no-store") {
		p.lists.put(*rq.list, kept, rq.listChanges)
	}
	p.hints.learn(rq.upstream.name, kept.result["tools"])
	res.Body.Close()
	text = rq.listAnswer(kept)
	res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	res.Header.Set("Content-Type", "application/json")
	res.Header.Set("Content-Length", strconv.Itoa(len(text)))
}

// firstEvent returns the data of the first event that has any, or nil.
func firstEvent(stream io.Reader) (data []byte) {
	in := bufio.NewScanner(stream)
	for in.Buffer(nil, maxList); in.Scan(); {
		line := in.Bytes()
		if after, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			data = append(append(data, bytes.TrimPrefix(after, []byte(" "))...), '\n')
		}
		if len(line) == 0 && len(bytes.TrimSpace(data)) > 0 {
			return data
		}
	}
	return nil
}

// listIn returns the list in a response to the call with this id, or nil if there is none.
func listIn(text, id []byte) *cachedList {
	var answer struct {
		ID     json.RawMessage            `json:"id"`
		Result map[string]json.RawMessage `json:"result"`
	}
	if json.Unmarshal(text, &answer) != nil || !bytes.Equal(answer.ID, id) || answer.Result == nil {
		return nil
	}
	ttl := listTTL
	if said := answer.Result["ttlMs"]; said != nil {
		ms, err := strconv.ParseInt(string(said), 10, 64)
		if err != nil {
			return nil
		}
		ttl = time.Duration(max(min(ms, maxListTTL.Milliseconds()), 0)) * time.Millisecond
	}
	return &cachedList{answer.Result, time.Now().Add(ttl)}
}

// withListChanges returns a body for the response that drops the cached lists when an event stream of MCP reports a change.
func (p *Proxy) withListChanges(rq *request, res *http.Response) io.ReadCloser {
	if rq.Route != mcpRoute || !eventstream.IsStream(res.Header) {
		return res.Body
	}
	return &listChangeBody{ReadCloser: res.Body, changed: p.lists.drop}
}

// listChanged is the end of the name of every notification that a list has changed.
const listChanged = `/list_changed"`

type listChangeBody struct {
	io.ReadCloser
	changed func()
	last    []byte // end of the previous piece: the name may be cut
}

func (b *listChangeBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.last = append(b.last, p[:n]...)
	if bytes.Contains(b.last, []byte(listChanged)) {
		b.changed()
	}
	if rest := len(listChanged) - 1; len(b.last) > rest {
		b.last = append(b.last[:0], b.last[len(b.last)-rest:]...)
	}
	return n, err
}
