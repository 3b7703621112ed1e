package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server"
	"roamproxy/cmd/roamproxy/server/servertest"
	"roamproxy/proxy/roamtest"
)

// addressForms returns ways to write an address of this machine in a page. Each leads to a listener on it.
func addressForms(t *testing.T) []string {
	forms := []string{
		"127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.1.", "%31%32%37.0.0.1", "①②⑦.0.0.1", "127.0.0.2",
		"localhost", "LOCALHOST.", "app.localhost", "rebound.test", "[::1]", "[0:0:0:0:0:0:0:1]",
		"[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:127.0.0.2]", "[::ffff:0.0.0.0]", "[::ffff:0:0]", "0.0.0.0", "0", "[::]",
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && n.IP.To4() != nil {
			forms = append(forms, n.IP.String(), "[::ffff:"+n.IP.String()+"]")
		}
	}
	return forms
}

// foreignPage sends requests in every way that a page has, to every form of the address. Its title becomes "over" when all have ended.
const foreignPage = `<!doctype html><title>busy</title><body><script>
const port = new URLSearchParams(location.search).get("port"), path = new URLSearchParams(location.search).get("path")
const forms = FORMS
function element(name, attribute, url) {
  return new Promise(over => {
    const e = document.createElement(name)
    e.onload = e.onerror = over
    e[attribute] = url
    if (name == "link") e.rel = "stylesheet"
    document.body.append(e)
  })
}
function submit(url, method) {
  return new Promise(over => {
    const frame = document.createElement("iframe"), form = document.createElement("form")
    frame.name = "f" + Math.random()
    form.action = url; form.method = method; form.target = frame.name
    document.body.append(frame, form)
    frame.onload = over
    form.submit()
  })
}
function socket(url) {
  return new Promise(over => { const s = new WebSocket(url.replace("http", "ws")); s.onclose = s.onerror = s.onopen = over })
}
async function all() {
  const ways = []
  for (const form of forms) {
    const url = way => "http://" + form + ":" + port + path + "?" + way + "=" + encodeURIComponent(form)
    ways.push(
      element("img", "src", url("img")), element("script", "src", url("script")),
      element("iframe", "src", url("iframe")), element("link", "href", url("link")),
      fetch(url("fetch"), {mode: "no-cors"}), fetch(url("post"), {mode: "no-cors", method: "POST", body: "{}"}),
      fetch(url("cors"), {headers: {"Roamproxy-Admin": "yes"}}),
      submit(url("form"), "POST"), submit(url("search"), "GET"), socket(url("socket")),
      Promise.resolve(navigator.sendBeacon(url("beacon"), "{}")))
  }
  await Promise.race([Promise.allSettled(ways), new Promise(over => setTimeout(over, 10000))])
  document.title = "over"
}
all()
</script>`

// A page of another origin spends nothing and reads nothing, whatever form of address it uses. That holds for a listener of this machine,
// for one that other machines reach, and for the admin listener.
//
// Seen to fail with IPv4-mapped addresses accepted, and with a foreign Referer accepted.
func TestNoWebPageReachesRoam(t *testing.T) {
	ours, roam := servertest.Start(t, roamtest.Options{}, io.Discard, nil)
	all, roamOfAll := servertest.Start(t, roamtest.Options{}, io.Discard, func(c *config.Config) { c.Listen, c.Open = "[::]:0", true })
	forms := addressForms(t)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, strings.Replace(foreignPage, "FORMS", fmt.Sprintf(`"%s".split(" ")`, strings.Join(forms, " ")), 1))
	}))
	defer site.Close()
	b := openBrowser(t, chromedp.Flag("host-resolver-rules", "MAP evil.test 127.0.0.1, MAP rebound.test 127.0.0.1"))
	for _, tt := range []struct {
		name, addr, path string
		from             *server.Server
		answers, refused int // that the browser and roamproxy report; fewer would mean that the page tried too little
	}{
		{"a listener of this machine", ours.Addr, "/v1/groups.list", ours, 60, 100},
		{"a listener that others reach", all.Addr, "/v1/groups.list", all, 80, 150},
		{"the admin listener", ours.AdminAddr, "/api/status", nil, 60, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, port, _ := net.SplitHostPort(tt.addr)
			page := strings.Replace(site.URL, "127.0.0.1", "evil.test", 1) + "/?port=" + port + "&path=" + url.QueryEscape(tt.path)
			b.do(t, "a page of another site", chromedp.Navigate(page))
			b.until(t, "every way was tried", `document.title == "over"`)
			answers := 0
			for answered, status := range b.answers() {
				u, err := url.Parse(answered)
				if err != nil || u.Port() != port {
					continue
				}
				answers++
				if status != 403 && status != 421 && status != 501 {
					t.Errorf("%s is answered %d, want 403, 421 or 501", answered, status)
				}
			}
			if answers < tt.answers {
				t.Errorf("the browser reported %d answers, want at least %d", answers, tt.answers)
			}
			if tt.from == nil {
				return
			}
			if n := refusedPages(t, tt.from); n < tt.refused {
				t.Errorf("%d requests were refused, want at least %d", n, tt.refused)
			}
		})
	}
	if roam.Calls()+roamOfAll.Calls() > 0 {
		t.Errorf("Roam saw %v and %v, want no call", roam.Journal(), roamOfAll.Journal())
	}
}

// refusedPages returns how many requests were refused.
func refusedPages(t *testing.T, r *server.Server) (n int) {
	_, text := get(t, client(t), "http://"+r.AdminAddr+"/metrics")
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "roamproxy_requests_total{") {
			_, count, _ := strings.Cut(line, "} ")
			value, err := strconv.ParseFloat(strings.TrimSpace(count), 64)
			if err != nil {
				t.Fatal(err)
			}
			n += int(value)
		}
	}
	return n
}
