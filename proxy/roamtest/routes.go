package roamtest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// handler answers a call: a status and an object, a list, a raw body, a problem or nil. The lock is held.
type handler func(*request) (int, any)

// route is one path of the API: what it answers to which HTTP method, and whether it changes anything.
type route struct {
	methods map[string]handler
	writes  bool
}

// allowed lists the HTTP methods of a route in a fixed order.
func (rt route) allowed() []string {
	var names []string
	for name := range rt.methods {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// handler returns the handler for an HTTP method. HEAD is GET without the body.
func (rt route) handler(method string) handler {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	return rt.methods[method]
}

func get(h handler) route { return route{methods: map[string]handler{http.MethodGet: h}} }

// query is a read that Roam has as a POST.
func query(h handler) route { return route{methods: map[string]handler{http.MethodPost: h}} }

func post(h handler) route {
	return route{methods: map[string]handler{http.MethodPost: h}, writes: true}
}

// find returns the route of an escaped path.
func (r *Roam) find(path string) (route, bool) {
	if rt, ok := r.routes[path]; ok {
		return rt, true
	}
	for _, kind := range []struct {
		prefix string
		route  func(id string) route
	}{{scimUsers + "/", r.scimUser}, {scimGroups + "/", r.scimGroup}, {scimSchemas + "/", scimSchema}} {
		rest, ok := strings.CutPrefix(path, kind.prefix)
		if id, err := url.PathUnescape(rest); ok && err == nil && id != "" && !strings.Contains(id, "/") {
			return kind.route(id), true
		}
	}
	return route{}, false
}

// table has every method of both versions. Roam documents most under one version only; here each answers under both, in the
// shape of the version that was called.
func (r *Roam) table() map[string]route {
	table := map[string]route{
		scimUsers: {methods: map[string]handler{http.MethodGet: r.scimUsersList, http.MethodPost: r.scimUserCreate},
			writes: true},
		scimGroups: {methods: map[string]handler{http.MethodGet: r.scimGroupsList, http.MethodPost: r.scimGroupCreate},
			writes: true},
		scimSchemas:                      get(scimSchemaList),
		"/scim/v2/ResourceTypes":         get(scimResourceTypes),
		"/scim/v2/ServiceProviderConfig": get(scimServiceProviderConfig),
	}
	for _, methods := range []map[string]route{
		r.chatMethods(), r.groupMethods(), r.userMethods(), r.meetingMethods(), r.otherMethods(), r.onairMethods(), r.webhookMethods(),
	} {
		for name, m := range methods {
			table["/v1/"+name], table["/v0/"+name] = m, m
		}
	}
	return table
}
