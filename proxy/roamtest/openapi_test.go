package roamtest

import (
	"encoding/json"
	"mime"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
)

// specCall is one call to an operation of Roam's OpenAPI files. The base of the target is the server of its file.
type specCall struct{ file, method, path, target, body string }

// bases are the servers of the files.
func bases() map[string]string {
	return map[string]string{"hq.json": "/v1", "chat.json": "/v0", "onair.json": "/v1", "scim.json": "/scim/v2", "webhooks.json": "/v0"}
}

// specCalls has at least one call to every operation. They run in this order, on one workspace.
func specCalls(posted string) []specCall {
	user, other, group, archived := newUser(1).ID, newUser(2).ID, newGroup(1, "", time.Time{}).ID, newGroup(2, "", time.Time{}).ID
	patch := `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[`
	scimUser := `"name":{"givenName":"Jo","familyName":"Doe"},"emails":[{"value":"jo@example.com"}]}`
	chat, event, guest := "C-"+id("chat", 1), id("event", 0), id("guest", 8)
	message := `"chat":"` + chat + `","timestamp":` + posted
	return []specCall{
		{"hq.json", "POST", "/chat.sendMessage", "/chat.sendMessage", `{"recipients":["` + group + `"],"text":"hello"}`},
		{"hq.json", "GET", "/groups.list", "/groups.list", ""},
		{"hq.json", "GET", "/recording.list", "/recording.list", ""},
		{"hq.json", "POST", "/messageevent.export", "/messageevent.export", `{"date":"2026-01-05"}`},
		{"hq.json", "GET", "/magicast.list", "/magicast.list?limit=20", ""},
		{"hq.json", "GET", "/magicast.info", "/magicast.info?id=" + id("magicast", 3), ""},
		{"hq.json", "GET", "/test", "/test", ""},
		{"chat.json", "GET", "/chat.list", "/chat.list", ""},
		{"chat.json", "POST", "/chat.post", "/chat.post", `{"chat":"` + chat + `","text":"hello"}`},
		{"chat.json", "POST", "/chat.post", "/chat.post", `{"chat":["` + chat + `"],"text":"hello"}`},
		{"chat.json", "POST", "/chat.update", "/chat.update", `{` + message + `,"text":"changed"}`},
		{"chat.json", "POST", "/chat.typing", "/chat.typing", `{"chat":"` + chat + `"}`},
		{"chat.json", "POST", "/reaction.add", "/reaction.add", `{` + message + `,"name":"100"}`},
		{"chat.json", "GET", "/chat.history", "/chat.history?chat=" + chat, ""},
		{"chat.json", "POST", "/chat.delete", "/chat.delete", `{` + message + `}`},
		{"chat.json", "POST", "/item.upload", "/item.upload", "bytes"},
		{"chat.json", "GET", "/addr.info", "/addr.info?addr=" + user, ""},
		{"chat.json", "GET", "/addr.info", "/addr.info?addr=B-1", ""},
		{"chat.json", "POST", "/group.create", "/group.create", `{"name":"New","members":["` + user + `"]}`},
		{"chat.json", "POST", "/group.rename", "/group.rename", `{"id":"` + group + `","name":"Other"}`},
		{"chat.json", "POST", "/group.archive", "/group.archive?id=" + archived, ""},
		{"chat.json", "POST", "/group.add", "/group.add", `{"group":"` + group + `","members":["` + other + `"]}`},
		{"chat.json", "POST", "/group.remove", "/group.remove", `{"group":"` + group + `","members":["` + other + `"]}`},
		{"chat.json", "GET", "/group.members", "/group.members?group=" + group, ""},
		{"chat.json", "GET", "/token.info", "/token.info", ""},
		{"chat.json", "GET", "/user.list", "/user.list?limit=20", ""},
		{"chat.json", "GET", "/user.list", "/user.list?expand=email,status", ""},
		{"chat.json", "GET", "/user.info", "/user.info?expand=status,available&id=" + user, ""},
		{"chat.json", "GET", "/user.lookup", "/user.lookup?email=user001@example.com", ""},
		{"chat.json", "GET", "/transcript.list", "/transcript.list", ""},
		{"chat.json", "GET", "/transcript.info", "/transcript.info?id=" + id("transcript", 3), ""},
		{"chat.json", "GET", "/transcript.info", "/transcript.info?sinceOffset=1000&id=live", ""},
		{"chat.json", "POST", "/transcript.prompt", "/transcript.prompt", `{"id":"` + id("transcript", 3) + `","prompt":"What was decided?"}`},
		{"chat.json", "POST", "/meetinglink.create", "/meetinglink.create", `{"name":"Weekly"}`},
		{"chat.json", "POST", "/meetinglink.info", "/meetinglink.info", `{"id":"` + id("meetinglink", 0) + `"}`},
		{"chat.json", "POST", "/meetinglink.update", "/meetinglink.update", `{"id":"` + id("meetinglink", 0) + `","name":"Daily"}`},
		{"chat.json", "GET", "/meeting.list", "/meeting.list", ""},
		{"chat.json", "GET", "/lobby.list", "/lobby.list?handle=sales", ""},
		{"chat.json", "GET", "/lobbyBooking.list", "/lobbyBooking.list?lobbyId=" + id("lobby", 0), ""},
		{"chat.json", "GET", "/userauditlog.list", "/userauditlog.list?date=2026-01-05", ""},
		{"onair.json", "POST", "/onair.event.create", "/onair.event.create",
			`{"title":"Demo","calendarHostEmail":"user001@example.com","start":"2026-02-01T10:00:00Z",` +
				`"end":"2026-02-01T11:00:00Z","timeZone":"UTC","hosts":[{"name":"Jo"}]}`},
		{"onair.json", "GET", "/onair.event.list", "/onair.event.list", ""},
		{"onair.json", "GET", "/onair.event.info", "/onair.event.info?id=" + event, ""},
		{"onair.json", "POST", "/onair.event.update", "/onair.event.update", `{"id":"` + event + `","title":"Launch"}`},
		{"onair.json", "POST", "/onair.guest.add", "/onair.guest.add", `{"eventId":"` + event + `","guests":[{"email":"guest@example.com"}]}`},
		{"onair.json", "GET", "/onair.guest.list", "/onair.guest.list?eventId=" + event, ""},
		{"onair.json", "GET", "/onair.guest.info", "/onair.guest.info?id=" + guest, ""},
		{"onair.json", "POST", "/onair.guest.update", "/onair.guest.update", `{"id":"` + guest + `","status":"going"}`},
		{"onair.json", "GET", "/onair.attendance.list", "/onair.attendance.list?eventId=" + event, ""},
		{"onair.json", "POST", "/onair.guest.remove", "/onair.guest.remove", `{"id":"` + guest + `"}`},
		{"onair.json", "POST", "/onair.event.cancel", "/onair.event.cancel", `{"id":"` + event + `"}`},
		{"scim.json", "GET", "/ServiceProviderConfig", "/ServiceProviderConfig", ""},
		{"scim.json", "GET", "/ResourceTypes", "/ResourceTypes", ""},
		{"scim.json", "GET", "/Schemas", "/Schemas", ""},
		{"scim.json", "GET", "/Schemas/{schemaId}", "/Schemas/" + userSchema, ""},
		{"scim.json", "GET", "/Users", "/Users?count=0", ""},
		{"scim.json", "POST", "/Users", "/Users", `{"userName":"jo@example.com",` + scimUser},
		{"scim.json", "GET", "/Users/{id}", "/Users/" + user, ""},
		{"scim.json", "PUT", "/Users/{id}", "/Users/" + user, `{"userName":"user001@example.com",` + scimUser},
		{"scim.json", "PATCH", "/Users/{id}", "/Users/" + user, patch + `{"op":"replace","path":"active","value":false}]}`},
		{"scim.json", "DELETE", "/Users/{id}", "/Users/" + user, ""},
		{"scim.json", "GET", "/Groups", "/Groups?count=0", ""},
		{"scim.json", "POST", "/Groups", "/Groups", `{"displayName":"Writers","members":[{"value":"` + other + `"}]}`},
		{"scim.json", "GET", "/Groups/{id}", "/Groups/" + group, ""},
		{"scim.json", "PUT", "/Groups/{id}", "/Groups/" + group, `{"displayName":"Editors"}`},
		{"scim.json", "PATCH", "/Groups/{id}", "/Groups/" + group, patch + `{"op":"add","path":"members","value":[{"value":"` + other + `"}]}]}`},
		{"scim.json", "DELETE", "/Groups/{id}", "/Groups/" + group, ""},
		{"webhooks.json", "POST", "/webhook.subscribe", "/webhook.subscribe", `{"url":"http://127.0.0.1:9/hook","event":"lobby.booked"}`},
		{"webhooks.json", "POST", "/webhook.unsubscribe", "/webhook.unsubscribe", "id=" + id("webhook", 10)},
		{"chat.json", "POST", "/app.uninstall", "/app.uninstall", ""},
	}
}

// Roam's own OpenAPI files are not ours to distribute, so this test runs where ROAM_OPENAPI names a folder that has them.
func TestAnswersFitRoamsSchemas(t *testing.T) {
	folder := os.Getenv("ROAM_OPENAPI")
	if folder == "" {
		t.Skip("set ROAM_OPENAPI to the folder with Roam's OpenAPI files to check the simulator against them")
	}
	docs := map[string]*openapi3.T{}
	uncovered := map[string]bool{}
	for file := range bases() {
		doc, err := openapi3.NewLoader().LoadFromFile(filepath.Join(folder, file))
		if err != nil {
			t.Fatal(err)
		}
		docs[file] = doc
		for path, item := range doc.Paths.Map() {
			for method := range item.Operations() {
				uncovered[file+" "+method+" "+path] = true
			}
		}
	}
	roam := unmetered()
	rt := roam.Transport()
	_, body := call(t, rt, "POST", "/v0/chat.post", `{"chat":"C-`+id("chat", 1)+`","text":"first"}`)
	var posted struct{ Timestamp json.Number }
	if err := json.Unmarshal([]byte(body), &posted); err != nil {
		t.Fatal(err)
	}
	for _, c := range specCalls(posted.Timestamp.String()) {
		delete(uncovered, c.file+" "+c.method+" "+c.path)
		t.Run(c.method+" "+c.target, func(t *testing.T) { checkAgainst(t, docs[c.file], roam, c) })
	}
	for operation := range uncovered {
		t.Errorf("no call checks %s, want one", operation)
	}
}

// checkAgainst makes a call and compares its status, media type and body with what the document describes.
func checkAgainst(t *testing.T, doc *openapi3.T, roam *Roam, c specCall) {
	t.Helper()
	kind := "application/json"
	switch {
	case strings.HasSuffix(c.path, ".upload"):
		kind = "application/octet-stream"
	case strings.HasSuffix(c.path, ".unsubscribe"):
		kind = "application/x-www-form-urlencoded"
	}
	path := doc.Paths.Value(c.path)
	if path == nil || path.GetOperation(c.method) == nil {
		t.Fatalf("%s %s is not in %s", c.method, c.path, c.file)
	}
	res, body := call(t, roam.Transport(), c.method, bases()[c.file]+c.target, c.body, "Content-Type", kind, "Content-Disposition",
		`attachment; filename="a.bin"`)
	described := path.GetOperation(c.method).Responses.Status(res.StatusCode)
	if res.StatusCode >= 300 || described == nil {
		t.Fatalf("got %d %s, which %s does not describe", res.StatusCode, body, c.file)
	}
	content := described.Value.Content
	if len(content) == 0 { // no body is described
		return
	}
	kind, _, _ = mime.ParseMediaType(res.Header.Get("Content-Type"))
	if content[kind] == nil {
		t.Fatalf("answered as %q, which %s does not describe", kind, c.file)
	}
	var value any = body
	if kind != "application/x-ndjson" { // of which the schema says only that it is text
		if err := json.Unmarshal([]byte(body), &value); err != nil {
			t.Fatal(err)
		}
	}
	if list, ok := value.(map[string]any); ok && slices.Contains([]string{"/ResourceTypes", "/Schemas"}, c.path) {
		list["Resources"] = []any{} // the document describes them as users or groups, which they are not
	}
	if err := content[kind].Schema.Value.VisitJSON(value, openapi3.VisitAsResponse(), openapi3.MultiErrors()); err != nil {
		t.Errorf("the answer does not match %s: %v", c.file, err)
	}
}
