package roamtest

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	scimUsers   = "/scim/v2/Users"
	scimGroups  = "/scim/v2/Groups"
	scimSchemas = "/scim/v2/Schemas"

	userSchema  = "urn:ietf:params:scim:schemas:core:2.0:User"
	groupSchema = "urn:ietf:params:scim:schemas:core:2.0:Group"
	roleSchema  = "urn:ro.am:params:scim:schemas:extension:roam:2.0:User"
	listSchema  = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
)

func (u user) scim() object {
	given, family, _ := strings.Cut(u.Name, " ")
	role := "User"
	if u.IsAdmin {
		role = "Admin"
	}
	return object{
		"schemas": []string{userSchema, roleSchema}, "id": u.ID, "userName": u.Email,
		"name":        object{"givenName": given, "familyName": family},
		"displayName": u.Name, "active": !u.archived,
		"emails":   []object{{"value": u.Email, "type": "work", "primary": true}},
		roleSchema: object{"role": role},
	}
}

func (g group) scim() object {
	members := []object{}
	for _, id := range g.Members {
		members = append(members, object{"value": id})
	}
	return object{
		"schemas": []string{groupSchema}, "id": g.ID, "displayName": g.Name, "members": members,
		"meta": object{"location": scimGroups + "/" + g.ID, "resourceType": "Group"},
	}
}

// scimPage pages by startIndex, which counts from 1, and count (RFC 7644, section 3.4.2.4).
func scimPage(in *request, all []object) (int, any) {
	start, err := whole(in, "startIndex", 1)
	count, err2 := whole(in, "count", 100)
	if err != nil || err2 != nil {
		return http.StatusBadRequest, problem{"invalid_page", "startIndex and count must be whole numbers."}
	}
	from := min(max(start, 1)-1, len(all))
	to := min(from+min(max(count, 0), 100), len(all))
	return http.StatusOK, object{
		"schemas": []string{listSchema}, "totalResults": len(all), "startIndex": from + 1, "itemsPerPage": to - from, "Resources": all[from:to],
	}
}

func whole(in *request, name string, usual int) (int, error) {
	v := in.query.Get(name)
	if v == "" {
		return usual, nil
	}
	return strconv.Atoi(v)
}

// scimUsersList honours filters of the form userName eq "…", as identity providers send.
func (r *Roam) scimUsersList(in *request) (int, any) {
	filter := in.query.Get("filter")
	match := regexp.MustCompile(`^\s*userName\s+eq\s+"([^"]*)"\s*$`).FindStringSubmatch(filter)
	if filter != "" && match == nil {
		return http.StatusBadRequest, problem{"invalid_filter", "This filter is not supported."}
	}
	list := make([]object, 0, len(r.data.users))
	for _, u := range r.data.users {
		if match == nil || strings.EqualFold(u.Email, match[1]) {
			list = append(list, u.scim())
		}
	}
	return scimPage(in, list)
}

// scimFields are the attributes of a user that SCIM sets.
func scimFields(in *request) (given, family, email string) {
	name, _ := in.fields["name"].(map[string]any)
	given, _ = name["givenName"].(string)
	family, _ = name["familyName"].(string)
	return given, family, in.fields.text("userName")
}

func (r *Roam) scimUserCreate(in *request) (int, any) {
	given, family, email := scimFields(in)
	if given == "" || family == "" || email == "" {
		return http.StatusBadRequest, problem{"missing_attribute", "userName, name.givenName and name.familyName are required."}
	}
	if slices.ContainsFunc(r.data.users, func(u user) bool { return strings.EqualFold(u.Email, email) }) {
		return http.StatusConflict, problem{"uniqueness", "This userName is taken."}
	}
	u := newUser(len(r.data.users))
	u.Name, u.Email = given+" "+family, email
	r.data.users = append(r.data.users, u)
	return http.StatusCreated, u.scim()
}

// scimUser returns the route of one user. DELETE archives: the user stays visible to SCIM alone.
func (r *Roam) scimUser(id string) route {
	one := func(change func(*user, *request) *problem, status int) handler {
		return func(in *request) (int, any) {
			i := slices.IndexFunc(r.data.users, func(u user) bool { return u.ID == id })
			if i < 0 {
				return http.StatusNotFound, problem{"", "No such user."}
			}
			u := &r.data.users[i]
			if bad := change(u, in); bad != nil {
				return http.StatusBadRequest, *bad
			}
			if status == http.StatusNoContent {
				return status, nil
			}
			return status, u.scim()
		}
	}
	return route{writes: true, methods: map[string]handler{
		http.MethodGet:    one(func(*user, *request) *problem { return nil }, http.StatusOK),
		http.MethodPut:    one(replaceUser, http.StatusOK),
		http.MethodPatch:  one(patchUser, http.StatusOK),
		http.MethodDelete: one(func(u *user, _ *request) *problem { u.archived = true; return nil }, http.StatusNoContent),
	}}
}

// replaceUser sets the name and whether the user is active. The address cannot change.
func replaceUser(u *user, in *request) *problem {
	given, family, email := scimFields(in)
	switch {
	case email != u.Email:
		return &problem{"mutability", "userName cannot be changed."}
	case given == "" || family == "":
		return &problem{"missing_attribute", "name.givenName and name.familyName are required."}
	}
	u.Name = given + " " + family
	if active, ok := in.fields["active"].(bool); ok {
		u.archived = !active
	}
	return nil
}

// patchUser only replaces active (RFC 7644, section 3.5.2, of which Roam supports no more).
func patchUser(u *user, in *request) *problem {
	for _, op := range operations(in) {
		value, _ := op["value"].(bool)
		if fields, ok := op["value"].(map[string]any); ok && op.text("path") == "" && len(fields) == 1 {
			op["path"] = "active"
			value, _ = fields["active"].(bool)
		}
		if !strings.EqualFold(op.text("op"), "replace") || op.text("path") != "active" {
			return &problem{"invalid_operation", "Only replace of active is supported."}
		}
		u.archived = !value
	}
	return nil
}

func operations(in *request) []object {
	var list []object
	given, _ := in.fields["Operations"].([]any)
	for _, v := range given {
		if op, ok := v.(map[string]any); ok {
			list = append(list, op)
		}
	}
	return list
}

func (r *Roam) scimGroupsList(in *request) (int, any) {
	list := make([]object, 0, len(r.data.groups))
	for _, g := range r.data.groups {
		list = append(list, g.scim())
	}
	return scimPage(in, list)
}

func (r *Roam) scimGroupCreate(in *request) (int, any) {
	name := in.fields.text("displayName")
	if name == "" || len(name) > 64 {
		return http.StatusBadRequest, problem{"invalid_value", "displayName is required and may have 64 characters."}
	}
	return http.StatusCreated, r.newGroup(name, false, values(in.fields["members"])).scim()
}

// values returns the ids in a list of members, each an object with value.
func values(v any) []string {
	var ids []string
	given, _ := v.([]any)
	for _, m := range given {
		if member, ok := m.(map[string]any); ok {
			ids = append(ids, object(member).text("value"))
		}
	}
	return ids
}

func (r *Roam) scimGroup(id string) route {
	one := func(change func(*group, *request) *problem) handler {
		return func(in *request) (int, any) {
			g := r.groupByID(id)
			if g == nil {
				return http.StatusNotFound, problem{"", "No such group."}
			}
			if bad := change(g, in); bad != nil {
				return http.StatusBadRequest, *bad
			}
			return http.StatusOK, g.scim()
		}
	}
	return route{writes: true, methods: map[string]handler{
		http.MethodGet:   one(func(*group, *request) *problem { return nil }),
		http.MethodPut:   one(replaceGroup),
		http.MethodPatch: one(patchGroup),
		http.MethodDelete: func(*request) (int, any) {
			if r.groupByID(id) == nil {
				return http.StatusNotFound, problem{"", "No such group."}
			}
			r.data.groups = slices.DeleteFunc(r.data.groups, func(g group) bool { return g.ID == id })
			return http.StatusNoContent, nil
		},
	}}
}

func replaceGroup(g *group, in *request) *problem {
	name := in.fields.text("displayName")
	if name == "" || len(name) > 64 {
		return &problem{"invalid_value", "displayName is required and may have 64 characters."}
	}
	g.Name, g.Members = name, values(in.fields["members"])
	return nil
}

// patchGroup understands members as Okta names them (members[value eq "ID"]) and as Entra does (path members, a list of values).
func patchGroup(g *group, in *request) *problem {
	filtered := regexp.MustCompile(`^members\[value eq "([^"]*)"\]$`)
	for _, op := range operations(in) {
		path, ids := op.text("path"), values(op["value"])
		if m := filtered.FindStringSubmatch(path); m != nil {
			path, ids = "members", m[1:]
		}
		switch name := strings.ToLower(op.text("op")); {
		case path == "displayName" && name == "replace":
			g.Name = op.text("value")
		case path == "members" && name == "add":
			g.change(ids, nil)
		case path == "members" && name == "remove":
			g.change(nil, ids)
		case path == "members" && name == "replace":
			g.Members = ids
		default:
			return &problem{"invalid_operation", "Only members and displayName can be changed."}
		}
	}
	return nil
}

func scimServiceProviderConfig(*request) (int, any) {
	return http.StatusOK, object{
		"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"},
		"patch":   object{"supported": true}, "filter": object{"supported": true, "maxResults": 100},
	}
}

// scimList answers a discovery list, which has no pages.
func scimList(items []object) (int, any) {
	return http.StatusOK, object{
		"schemas": []string{listSchema}, "totalResults": len(items), "startIndex": 1, "itemsPerPage": len(items), "Resources": items,
	}
}

func scimResourceTypes(*request) (int, any) {
	return scimList([]object{
		{"id": "User", "name": "User", "endpoint": "/Users", "schema": userSchema},
		{"id": "Group", "name": "Group", "endpoint": "/Groups", "schema": groupSchema},
	})
}

func schemas() []object {
	return []object{
		{"id": userSchema, "name": "User", "description": "User Account"},
		{"id": groupSchema, "name": "Group", "description": "Group"},
		{"id": roleSchema, "name": "RoamUser", "description": "Role in Roam"},
	}
}

func scimSchemaList(*request) (int, any) { return scimList(schemas()) }

func scimSchema(id string) route {
	return get(func(*request) (int, any) {
		if schema := collection(schemas()).find(id); schema != nil {
			return http.StatusOK, schema
		}
		return http.StatusNotFound, problem{"", "No such schema."}
	})
}
