package credential

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// answered is what a Transport makes of Roam's answer.
func answered(t *testing.T, status int, body io.Reader, header ...string) *http.Response {
	t.Helper()
	next := reply{status: status, body: body, header: header}
	tr := &Transport{Next: next, Name: "org", Source: Key{NewSecret(hidden)}, Scheme: "https", Host: "api.ro.am"}
	req, _ := http.NewRequest("GET", "https://api.ro.am/v1/groups.list", nil)
	res, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

type reply struct {
	status int
	body   io.Reader
	header []string
}

func (r reply) RoundTrip(req *http.Request) (*http.Response, error) {
	h := make(http.Header)
	for i := 0; i+1 < len(r.header); i += 2 {
		h.Add(r.header[i], r.header[i+1])
	}
	return &http.Response{StatusCode: r.status, Header: h, Body: io.NopCloser(r.body), ContentLength: -1, Request: req}, nil
}

func zipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, s)
	w.Close()
	return b.String()
}

// Seen to fail with Roam's errors handed on as they are.
func TestASecretThatRoamRepeatsIsBlanked(t *testing.T) {
	stars := strings.Repeat("*", len(hidden))
	for _, tt := range []struct {
		name, encoding, body, want string
		status                     int
	}{
		{"an error that repeats it", "", `{"error":"bad token Bearer ` + hidden + `"}`, `{"error":"bad token Bearer ` + stars + `"}`, 401},
		{"a failure of Roam's", "", hidden + hidden, stars + stars, 500},
		{"an error without it", "", `{"ok":false,"error":"not_found"}`, `{"ok":false,"error":"not_found"}`, 404},
		{"half of it", "", hidden[:10], hidden[:10], 400},
		{"one that is compressed", "gzip", zipped("x" + hidden), "x" + stars, 403},
		{"in an encoding that nobody asked for", "br", "\x1b\x02" + hidden, "", 400},
		{"a good answer", "", hidden, hidden, 200},
	} {
		res := answered(t, tt.status, iotest.OneByteReader(strings.NewReader(tt.body)), "Content-Encoding", tt.encoding, "X-Echo", "Bearer "+hidden, "X-Echo", "plain")
		got, err := io.ReadAll(res.Body)
		if string(got) != tt.want || err != nil {
			t.Errorf("%s: %q (%v), want %q", tt.name, got, err, tt.want)
		}
		if e := res.Header["X-Echo"]; e[0] != "Bearer "+stars || e[1] != "plain" {
			t.Errorf("%s: the header says %q", tt.name, e)
		}
		if tt.encoding != "" && res.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s: it is said to be in %s", tt.name, tt.encoding)
		}
	}
}

func TestABrokenErrorStaysBroken(t *testing.T) {
	for name, body := range map[string]io.Reader{
		"one that breaks off":                   io.MultiReader(strings.NewReader("half"), iotest.ErrReader(io.ErrUnexpectedEOF)),
		"a compressed one that is cut":          strings.NewReader(zipped("half of it")[:15]),
		"one that is said to be compressed":     strings.NewReader("no gzip at all"),
		"a compressed one that has no end mark": strings.NewReader(zipped(strings.Repeat("half", 1000))[:30]),
	} {
		encoding := "gzip"
		if name == "one that breaks off" {
			encoding = ""
		}
		res := answered(t, 500, body, "Content-Encoding", encoding)
		if _, err := io.ReadAll(res.Body); err == nil {
			t.Errorf("%s: reads as if it were whole", name)
		}
	}
}

// Whatever the pieces in which it comes, no form of the secret gets through and nothing else is changed.
func TestBlankingAnyPieces(t *testing.T) {
	forms := []string{hidden, url.QueryEscape("a/b+" + hidden), base64.StdEncoding.EncodeToString([]byte(hidden)), hidden + hidden[:5]}
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.SampledFrom([]string{hidden, "a/b+" + hidden}).Draw(t, "secret")
		var body, want strings.Builder
		e := newEcho(secret)
		for range rapid.IntRange(0, 5).Draw(t, "parts") {
			body.WriteString(rapid.StringMatching(`[x-z"{}]{0,40}`).Draw(t, "text"))
			body.WriteString(rapid.SampledFrom(forms).Draw(t, "form"))
		}
		clear := []byte(body.String())
		e.blank(clear)
		want.Write(clear)
		source := iotest.HalfReader(&pieces{t: t, s: body.String()})
		got, err := io.ReadAll(&blanked{source: source, echo: e, keep: e.longest() - 1})
		if string(got) != want.String() || err != nil {
			t.Fatalf("%q became %q (%v), want %q", body.String(), got, err, want.String())
		}
		if strings.Contains(string(got), secret) {
			t.Fatalf("%q still shows %q", got, secret)
		}
	})
}

// pieces reads a string in pieces of any size.
type pieces struct {
	t *rapid.T
	s string
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.s == "" {
		return 0, io.EOF
	}
	n := copy(b, p.s[:rapid.IntRange(1, len(p.s)).Draw(p.t, "piece")])
	p.s = p.s[n:]
	return n, nil
}

func BenchmarkEcho(b *testing.B) {
	for b.Loop() {
		newEcho("rmk-0123456789abcdef0123456789abcdef")
	}
}
