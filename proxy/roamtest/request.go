package roamtest

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// request is one call with its body read and decoded, before the simulator's lock is taken.
type request struct {
	*http.Request
	query  url.Values
	body   []byte
	fields object // the body of a JSON object or a form; empty for anything else
	v1     bool
}

// maxBody is a little more than the largest file that Roam accepts, so that a larger one can be refused as Roam does.
const maxBody = maxItem + 1

// read reads the body of a call. The problem says why Roam would not understand it.
func read(req *http.Request) (*request, *problem) {
	in := &request{Request: req, query: req.URL.Query(), fields: object{}, v1: v1(req)}
	if req.Body == nil || req.Method == http.MethodGet || req.Method == http.MethodHead {
		return in, nil
	}
	var err error
	if in.body, err = io.ReadAll(io.LimitReader(req.Body, maxBody)); err != nil {
		return nil, &problem{"incomplete_body", "The body ended early."}
	}
	kind, _, _ := mime.ParseMediaType(req.Header.Get("Content-Type"))
	switch {
	case kind == "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(in.body))
		if err != nil {
			return nil, &problem{"invalid_form", "The body is not a form."}
		}
		for name := range form {
			in.fields[name] = form.Get(name)
		}
	case len(in.body) == 0 || strings.HasSuffix(req.URL.Path, "/item.upload"):
	default:
		if json.Unmarshal(in.body, &in.fields) != nil {
			return nil, &problem{"invalid_json", "The body is not a JSON object."}
		}
	}
	return in, nil
}

// text returns a string of the body, or else of the query: v0 passes some ids of writes in the query.
func (in *request) text(names ...string) string {
	for _, name := range names {
		if s := in.fields.text(name); s != "" {
			return s
		}
		if s := in.query.Get(name); s != "" {
			return s
		}
	}
	return ""
}

// texts returns a list of strings of the body. A single string counts as a list of one.
func (in *request) texts(name string) []string {
	switch v := in.fields[name].(type) {
	case string:
		return []string{v}
	case []any:
		var list []string
		for _, item := range v {
			if s, ok := item.(string); ok {
				list = append(list, s)
			}
		}
		return list
	}
	return nil
}

// number returns a whole number of the body or the query, or 0.
func (in *request) number(name string) int64 {
	switch v := in.fields[name].(type) {
	case float64:
		return int64(v)
	case nil:
		var n json.Number = json.Number(in.query.Get(name))
		i, _ := n.Int64()
		return i
	}
	return 0
}

// expands reports whether the comma-separated query parameter expand names this field.
func (in *request) expands(field string) bool {
	for _, list := range in.query["expand"] {
		for name := range strings.SplitSeq(list, ",") {
			if strings.TrimSpace(name) == field {
				return true
			}
		}
	}
	return false
}

// copied returns those fields of the body that are named and present.
func (in *request) copied(names ...string) object {
	o := object{}
	for _, name := range names {
		if v, ok := in.fields[name]; ok {
			o[name] = v
		}
	}
	return o
}

// missing returns the answer to a call that lacks a required field.
func missing(name string) (int, any) {
	return http.StatusBadRequest, problem{"missing_" + name, name + " is required."}
}

// notFound returns the answer to a call for an object that does not exist.
func notFound(noun string) (int, any) {
	return http.StatusNotFound, problem{noun + "_not_found", "No such " + noun + "."}
}
