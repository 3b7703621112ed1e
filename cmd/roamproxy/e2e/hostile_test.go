package e2e

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// hostileKey has characters that encodings treat differently.
const hostileKey = "rmk-Marked/Key+0123456789abcdef=="

// hostileAnswers is the corpus of answers that repeat the credential, well-formed and not. KEY stands for the credential, and HEX, B64 (of
// the whole field), PCT, JSON and HTML stand for encodings of it.
var hostileAnswers = map[string]string{
	"an error":                   "HTTP/1.1 400 Bad\r\nContent-Length: 200\r\n\r\n{\"ok\":false,\"error\":\"KEY HEX B64 PCT JSON HTML\"}",
	"an error of every encoding": "HTTP/1.1 500 Oops\r\nConnection: close\r\n\r\nKEY|HEX|B64|PCT|JSON|HTML",
	"a field":                    "HTTP/1.1 200 OK\r\nX-Echo: Bearer KEY\r\nX-Hex: HEX\r\nX-Base: B64\r\nContent-Length: 2\r\n\r\n{}",
	"the name of a field":        "HTTP/1.1 200 OK\r\nX-HEX: 1\r\nContent-Length: 2\r\n\r\n{}",
	"early hints": "HTTP/1.1 103 Early Hints\r\nLink: </x?KEY>; rel=preload\r\nX-HEX: 1\r\nX-Echo: Bearer " +
		"KEY\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
	"processing": "HTTP/1.1 102 Processing\r\nX-Echo: B64\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
	"a reason":   "HTTP/1.1 403 Refused KEY\r\nContent-Length: 2\r\n\r\n{}",
	"a trailer": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Echo\r\n\r\n2\r\n{}\r\n0\r\nX-Echo: " +
		"KEY\r\nX-HEX: 1\r\n\r\n",
	"a trailer that is malformed": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nBroken KEY\r\n\r\n",
	"a chunk that is malformed":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nKEY\r\n{}\r\n",
	"a redirect": "HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example/?t=PCT\r\nContent-Length: 100\r\n\r\n<a " +
		"href=\"https://elsewhere.example/?t=KEY\">" + strings.Repeat(" ", 100),
	"a choice":                   "HTTP/1.1 300 Choices\r\nConnection: close\r\n\r\nKEY",
	"an error with success":      "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"ok\":false,\"message\":\"you sent Bearer KEY, JSON\"}",
	"an error of JSON-RPC":       "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"jsonrpc\":\"2.0\",\"error\":{\"message\":\"KEY\"}}",
	"an error that is cut":       "HTTP/1.1 400 Bad\r\nContent-Length: 2000\r\n\r\n{\"error\":\"KEY",
	"a field without a colon":    "HTTP/1.1 200 OK\r\nBad Field Bearer KEY\r\n\r\n",
	"a field with a space":       "HTTP/1.1 200 OK\r\nX-KEY: 1\r\nX KEY: 1\r\n\r\n",
	"a status that is no number": "HTTP/1.1 KEY OK\r\n\r\n",
	"a version that is none":     "HTTP/KEY 200 OK\r\n\r\n",
	"no answer of HTTP":          "KEY B64 HEX\r\n\r\n",
	"a length that is none":      "HTTP/1.1 200 OK\r\nContent-Length: Bearer KEY\r\n\r\n",
	"a coding that is none":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: KEY\r\n\r\n",
	"a coding of the content":    "HTTP/1.1 400 Bad\r\nContent-Encoding: KEY\r\nConnection: close\r\n\r\nKEY",
	"a refusal": "HTTP/1.1 401 KEY\r\nWww-Authenticate: Bearer error=\"KEY\"\r\nContent-Length: " +
		"100\r\n\r\n{\"ok\":false,\"error\":\"KEY\"}" + strings.Repeat(" ", 100),
	"a proxy's refusal":     "HTTP/1.1 407 KEY\r\nProxy-Authenticate: Basic realm=\"KEY\"\r\nContent-Length: 0\r\n\r\n",
	"too many":              "HTTP/1.1 429 KEY\r\nRetry-After: KEY\r\nContent-Length: 0\r\n\r\n",
	"a switch of protocols": "HTTP/1.1 101 KEY\r\nUpgrade: KEY\r\nConnection: Upgrade\r\n\r\nKEY",
}

// forms returns the encodings in hostileAnswers.
func forms(secret string) map[string]string {
	var hex, json, entities, percent strings.Builder
	for _, c := range []byte(secret) {
		fmt.Fprintf(&hex, "%02X", c)
		fmt.Fprintf(&json, `\u%04X`, c)
		fmt.Fprintf(&entities, "&#x%x;", c)
		fmt.Fprintf(&percent, "%%%02x", c)
	}
	return map[string]string{
		"KEY": secret, "HEX": hex.String(), "JSON": json.String(), "HTML": entities.String(), "PCT": percent.String(),
		"B64": base64.StdEncoding.EncodeToString([]byte("Bearer " + secret)),
	}
}

// hostileServer is an upstream that answers with bytes of its own.
type hostileServer struct {
	net.Listener
	answer func(request string) string
}

func newHostile(t testing.TB, answer func(request string) string) *hostileServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	h := &hostileServer{l, answer}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go h.serve(conn)
		}
	}()
	return h
}

func (h *hostileServer) url() string { return "http://" + h.Addr().String() }

func (h *hostileServer) serve(conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	body, _ := io.ReadAll(io.LimitReader(req.Body, 1<<10))
	io.WriteString(conn, h.answer(req.Method+" "+req.URL.Path+"\n"+string(body)))
}

// holds returns the name of the form of the secret that is in text, or "". Case does not count.
func holds(text, secret string) string {
	text = strings.ToLower(text)
	for name, form := range forms(secret) {
		if name == "B64" {
			form = form[12:40] // of the secret alone
		}
		if strings.Contains(text, strings.ToLower(form)) {
			return name
		}
	}
	return ""
}

// Whatever the upstream answers, the key is in no answer, page, metric or line of the log.
//
// Seen to fail with the line that net/http writes about an unsolicited response, and with the body of a 101.
func TestHostileAnswersShowNothing(t *testing.T) {
	for name, answer := range hostileAnswers {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of the time is that of starting
			for form, written := range forms(hostileKey) {
				answer = strings.ReplaceAll(answer, form, written)
			}
			var asked atomic.Int32
			upstream := newHostile(t, func(string) string { asked.Add(1); return answer })
			// A process of its own, because after a 401 or a 429 roamproxy would not send the call after it.
			r := launch(t, upstream.url(), t.TempDir(), "ROAM_API_KEY="+hostileKey, inFile(t, fast))
			var out output
			for _, path := range []string{"/v1/x.get", "/v1/groups.list?" + strings.ReplaceAll(name, " ", "+")} {
				out.raw(strings.TrimPrefix(r.base, "http://"), "GET "+path+" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
			}
			for _, page := range []string{"/", "/readyz?verbose", "/api/status", "/metrics"} {
				out.raw(strings.TrimPrefix(r.admin, "http://"), "GET "+page+" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
			}
			out.raw(strings.TrimPrefix(r.admin, "http://"), "POST /api/resume HTTP/1.1\r\nHost: localhost\r\nRoamproxy-Admin: "+
				"1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			if asked.Load() == 0 {
				t.Errorf("no call reached the upstream, so the test looked at nothing: %s", out.String())
			}
			if form := holds(out.String(), hostileKey); form != "" {
				t.Errorf("an answer shows %s of the key: %s", form, out.String())
			}
			if form := holds(r.said.String(), hostileKey); form != "" {
				t.Errorf("the log shows %s of the key: %s", form, r.said.String())
			}
			env := append(os.Environ(), "ROAM_API_KEY="+hostileKey, "ROAMPROXY_UPSTREAM_URL="+upstream.url(), "ROAMPROXY_STATE_DIR="+t.TempDir())
			_, printed, said := invoke(t, env, "check", "-connect")
			if form := holds(printed+said, hostileKey); form != "" {
				t.Errorf("check -connect shows %s of the key: %s%s", form, printed, said)
			}
		})
	}
}

// A token endpoint repeats its request in many forms.
//
// Seen to fail in /readyz, which needs no token, with an invalid number, status and field.
func TestAHostileTokenEndpointShowsNothing(t *testing.T) {
	const secret, refresh = "cs-Marked/Client+Secret", "rt-Marked-Refresh-Token"
	for name, answer := range map[string]string{
		"a number that is none": "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: " +
			"close\r\n\r\n{\"access_token\":\"x\",\"expires_in\":\"SECRET REFRESH\"}",
		"a token that is none": "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: " +
			"close\r\n\r\n{\"access_token\":[\"SECRET REFRESH\"]}",
		"a type that is none": "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: " +
			"close\r\n\r\n{\"access_token\":\"x\",\"token_type\":\"SECRET REFRESH\"}",
		"a form": "HTTP/1.1 200 OK\r\nContent-Type: application/x-www-form-urlencoded\r\nConnection: " +
			"close\r\n\r\nexpires_in=SECRET&access_token=%ZZREFRESH",
		"a status that is no number": "HTTP/1.1 SECRET REFRESH\r\n\r\n",
		"a field that is none":       "HTTP/1.1 200 OK\r\nBad SECRET REFRESH\r\n\r\n",
		"an error of OAuth's": "HTTP/1.1 400 SECRET\r\nContent-Type: application/json\r\nConnection: " +
			"close\r\n\r\n{\"error\":\"invalid_client\",\"error_description\":\"SECRET\",\"error_uri\":\"REFRESH\"}",
		"an error of its own": "HTTP/1.1 400 SECRET\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{\"error\":\"SECRET " +
			"REFRESH\"}",
		"a redirect":        "HTTP/1.1 307 SECRET\r\nLocation: http://127.0.0.1:1/?SECRET\r\nContent-Length: 0\r\n\r\n",
		"no answer of HTTP": "SECRET REFRESH",
	} {
		t.Run(name, func(t *testing.T) {
			endpoint := newHostile(t, func(string) string { return strings.NewReplacer("SECRET", secret, "REFRESH", refresh).Replace(answer) })
			config := filepath.Join(t.TempDir(), "c.yaml")
			os.WriteFile(config, []byte(fmt.Sprintf("log: {level: debug}\ncredentials: [{name: alice, oauth: {client_id: app, client_secret: %s, "+
				"refresh_token: %s, token_url: %q}}]\n",
				secret, refresh, endpoint.url()+"/oauth/token")), 0o600)
			r := launch(t, endpoint.url(), t.TempDir(), "ROAM_API_KEY=", "ROAMPROXY_CONFIG="+config)
			var out output
			out.raw(strings.TrimPrefix(r.base, "http://"), "GET /v1/x.get HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
			for _, page := range []string{"/readyz", "/", "/api/status", "/metrics"} {
				out.raw(strings.TrimPrefix(r.admin, "http://"), "GET "+page+" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
			}
			if !strings.Contains(out.String(), "credential alice") {
				t.Error("readiness does not name the credential, so the test looked at nothing")
			}
			for _, hidden := range []string{secret, refresh} {
				if form := holds(out.String()+r.said.String(), hidden); form != "" {
					t.Errorf("%s of a secret is shown: %s\n%s", form, out.String(), r.said.String())
				}
			}
		})
	}
}

// A company's proxy refuses the password and repeats it.
func TestAProxyThatRepeatsItsPassword(t *testing.T) {
	const password = "Marked-Proxy-Password"
	for name, answer := range map[string]string{
		"as it came": "HTTP/1.1 407 you sent Basic " + base64.StdEncoding.EncodeToString([]byte("user:"+password)) + "\r\nContent-Length: " +
			"0\r\n\r\n",
		"in the clear":   "HTTP/1.1 403 no " + password + "\r\nX-Echo: " + password + "\r\nContent-Length: 0\r\n\r\n",
		"malformed":      "HTTP/1.1 407\r\nBad " + password + "\r\n\r\n",
		"as no response": password,
	} {
		t.Run(name, func(t *testing.T) {
			proxy := newHostile(t, func(string) string { return answer })
			r := launch(t, "https://api.ro.example", t.TempDir(), "ROAM_API_KEY="+hostileKey, inFile(t, fast),
				"HTTPS_PROXY=http://user:"+password+"@"+proxy.Addr().String())
			var out output
			out.raw(strings.TrimPrefix(r.base, "http://"), "POST /v1/x.get HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: "+
				"close\r\n\r\n")
			out.raw(strings.TrimPrefix(r.admin, "http://"), "GET /readyz?verbose HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
			if !strings.Contains(out.String(), "502") {
				t.Errorf("the call is answered %s, want 502", out.String())
			}
			shown := out.String() + r.said.String()
			if form := holds(shown, password); form != "" || strings.Contains(shown,
				base64.StdEncoding.EncodeToString([]byte("user:" + password))[:20]) {
				t.Errorf("the password is shown (%s): %s", form, shown)
			}
		})
	}
}
