package roamtest

import (
	"encoding/json"
	"mime"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
)

// Roam's own OpenAPI files are not ours to distribute, so this test runs where ROAM_OPENAPI names a folder that has them.
func TestAnswersFitRoamsSchemas(t *testing.T) {
	folder := os.Getenv("ROAM_OPENAPI")
	if folder == "" {
		t.Skip("to hold the simulator against Roam's schemas, let ROAM_OPENAPI name the folder with its OpenAPI files")
	}
	rt := unmetered().Transport()
	user, chat, group := newUser(1).ID, "C-"+id("chat", 1), newGroup(1, "", time.Time{}).ID
	for _, tt := range []struct{ file, path, method, target, body string }{
		{"chat.json", "/chat.post", "POST", "/v0/chat.post", `{"chat":"` + chat + `","text":"hello"}`},
		{"chat.json", "/chat.history", "GET", "/v0/chat.history?chat=" + chat, ""},
		{"chat.json", "/group.create", "POST", "/v0/group.create", `{"name":"New"}`},
		{"chat.json", "/group.rename", "POST", "/v0/group.rename", `{"id":"` + group + `","name":"Other"}`},
		{"chat.json", "/token.info", "GET", "/v0/token.info", ""},
		{"chat.json", "/user.list", "GET", "/v0/user.list?limit=20", ""},
		{"chat.json", "/user.list", "GET", "/v0/user.list?expand=status", ""},
		{"chat.json", "/user.info", "GET", "/v0/user.info?id=" + user, ""},
		{"chat.json", "/transcript.list", "GET", "/v0/transcript.list", ""},
		{"chat.json", "/meeting.list", "GET", "/v0/meeting.list", ""},
		{"chat.json", "/item.upload", "POST", "/v0/item.upload", "bytes"},
		{"hq.json", "/groups.list", "GET", "/v1/groups.list", ""},
		{"hq.json", "/recording.list", "GET", "/v1/recording.list", ""},
		{"hq.json", "/messageevent.export", "POST", "/v1/messageevent.export", `{"date":"2026-01-05"}`},
		{"scim.json", "/Users", "GET", "/scim/v2/Users?count=0", ""}, // with a user in it the schema's oneOf fits twice
		{"scim.json", "/Users/{id}", "GET", "/scim/v2/Users/" + user, ""},
	} {
		doc, err := openapi3.NewLoader().LoadFromFile(filepath.Join(folder, tt.file))
		if err != nil {
			t.Fatal(err)
		}
		path := doc.Paths.Value(tt.path)
		if path == nil || path.GetOperation(tt.method) == nil {
			t.Errorf("%s %s is not in %s", tt.method, tt.path, tt.file)
			continue
		}
		res, body := call(t, rt, tt.method, tt.target, tt.body, "Content-Type", "application/octet-stream", "Content-Disposition", `attachment; filename="a.bin"`)
		described := path.GetOperation(tt.method).Responses.Status(res.StatusCode)
		if res.StatusCode >= 300 || described == nil {
			t.Errorf("%s %s: %d %s, which %s does not describe", tt.method, tt.target, res.StatusCode, body, tt.file)
			continue
		}
		if len(described.Value.Content) == 0 && body == "" {
			continue
		}
		kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
		content := described.Value.Content[kind]
		if content == nil {
			t.Errorf("%s %s: answered as %q, which %s does not describe", tt.method, tt.target, kind, tt.file)
			continue
		}
		var value any = body
		if kind != "application/x-ndjson" { // of which the schema says only that it is text
			if err := json.Unmarshal([]byte(body), &value); err != nil {
				t.Fatal(err)
			}
		}
		if err := content.Schema.Value.VisitJSON(value, openapi3.VisitAsResponse(), openapi3.MultiErrors()); err != nil {
			t.Errorf("%s %s does not fit %s: %v", tt.method, tt.target, tt.file, err)
		}
	}
}
