package roamtest

import (
	"net/http"
	"slices"
	"time"
)

type group struct {
	ID      string
	Name    string
	Private bool
	Created time.Time
	Members []string // ids of users
}

func newGroup(i int, name string, created time.Time) group {
	return group{ID: "G-" + id("group", i), Name: name, Created: created}
}

func (g group) object() object {
	return object{"id": g.ID, "name": g.Name, "private": g.Private, "dateCreated": stamp(g.Created)}
}

func (r *Roam) groupMethods() map[string]route {
	return map[string]route{
		"groups.list":   get(r.groupsList),
		"group.list":    get(r.groupList),
		"group.info":    get(r.groupInfo),
		"group.members": get(r.groupMembers),
		"group.create":  post(r.groupCreate),
		"group.rename":  post(r.groupRename),
		"group.archive": post(r.groupArchive),
		"group.add":     post(r.groupAdd),
		"group.join":    post(r.groupJoin),
		"group.remove":  post(r.groupRemove),
	}
}

// group returns the group that a call names, for the caller to change, or nil.
func (r *Roam) group(in *request) *group { return r.groupByID(in.text("id", "group", "groupId")) }

func (r *Roam) groupByID(id string) *group {
	i := slices.IndexFunc(r.data.groups, func(g group) bool { return g.ID == id })
	if i < 0 {
		return nil
	}
	return &r.data.groups[i]
}

// groupsList differs from every other list: a bare array without pages.
func (r *Roam) groupsList(*request) (int, any) {
	list := make([]object, 0, len(r.data.groups))
	for _, g := range r.data.groups {
		access := "public"
		if g.Private {
			access = "private"
		}
		list = append(list, object{
			"addressId": g.ID, "roamId": 1, "accountId": 1, "groupType": "user", "name": g.Name, "accessMode": access,
			"groupManagement": "members", "enforceThreadedMode": false, "dateCreated": stamp(g.Created),
		})
	}
	return http.StatusOK, list
}

func (r *Roam) groupList(in *request) (int, any) {
	list := make([]object, 0, len(r.data.groups))
	for _, g := range r.data.groups {
		list = append(list, g.object())
	}
	return page(r, in, "groups", list, 50, 100)
}

func (r *Roam) groupInfo(in *request) (int, any) {
	g := r.group(in)
	if g == nil {
		return notFound("group")
	}
	return http.StatusOK, g.object()
}

func (r *Roam) groupMembers(in *request) (int, any) {
	g := r.group(in)
	if g == nil {
		return http.StatusBadRequest, problem{"group_not_found", "No such group."}
	}
	return page(r, in, "members", g.Members, 10, 100)
}

func (r *Roam) groupCreate(in *request) (int, any) {
	name := in.text("name")
	if name == "" {
		return missing("name")
	}
	return http.StatusOK, r.newGroup(name, in.fields["private"] == true, append(in.texts("members"), in.texts("admins")...)).object()
}

func (r *Roam) newGroup(name string, private bool, members []string) *group {
	g := newGroup(r.data.created, name, time.Now())
	r.data.created++
	g.Private, g.Members = private, members
	r.data.groups = append(r.data.groups, g)
	return &r.data.groups[len(r.data.groups)-1]
}

func (r *Roam) groupRename(in *request) (int, any) {
	g := r.group(in)
	switch {
	case g == nil:
		return notFound("group")
	case in.text("name") == "":
		return missing("name")
	}
	g.Name = in.text("name")
	return http.StatusNoContent, nil
}

func (r *Roam) groupArchive(in *request) (int, any) {
	g := r.group(in)
	if g == nil {
		return notFound("group")
	}
	id := g.ID
	r.data.groups = slices.DeleteFunc(r.data.groups, func(g group) bool { return g.ID == id })
	return http.StatusNoContent, nil
}

func (r *Roam) groupAdd(in *request) (int, any) {
	return r.changeMembers(in, append(in.texts("members"), in.texts("admins")...), nil)
}

func (r *Roam) groupJoin(in *request) (int, any) {
	return r.changeMembers(in, []string{"B-" + id("bot", 0)}, nil)
}

func (r *Roam) groupRemove(in *request) (int, any) {
	return r.changeMembers(in, nil, in.texts("members"))
}

func (r *Roam) changeMembers(in *request, add, remove []string) (int, any) {
	g := r.group(in)
	if g == nil {
		return notFound("group")
	}
	g.change(add, remove)
	return http.StatusNoContent, nil
}

// change adds members that are not there yet and removes others.
func (g *group) change(add, remove []string) {
	members := slices.DeleteFunc(slices.Clone(g.Members), func(id string) bool { return slices.Contains(remove, id) })
	for _, id := range add {
		if !slices.Contains(members, id) {
			members = append(members, id)
		}
	}
	g.Members = members
}
