package e2e

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"roamproxy/cmd/roamproxy/server/servertest"
	"roamproxy/proxy/roamtest"
)

var screenshots = flag.String("screenshots", "", "write pictures of the status page into this folder")

// startTraffic makes calls until ctx ends: a flood, some reads, and now and then a call that does not wait.
func startTraffic(ctx context.Context, t *testing.T, base string) {
	c := client(t)
	ask := func(method, path, tool string, header ...string) {
		req, _ := http.NewRequestWithContext(ctx, method, base+path, strings.NewReader(`{"chat":"C-1","text":"hello"}`))
		req.Header.Set("Roamproxy-Tool", tool)
		req.Header.Set("Authorization", "Bearer "+tool) // where tools are configured
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		if res, err := c.Do(req); err == nil {
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	}
	var all sync.WaitGroup
	t.Cleanup(all.Wait)
	again := func(every time.Duration, do func()) {
		all.Go(func() {
			for ctx.Err() == nil {
				do()
				select {
				case <-time.After(every):
				case <-ctx.Done():
				}
			}
		})
	}
	for range 8 {
		again(0, func() { ask("POST", "/v1/nothing.create", "exporter") }) // 404, to show an error
	}
	for _, path := range []string{"/v1/groups.list", "/v1/user.list?limit=10", "/v1/chat.history?chat=C-1"} {
		again(300*time.Millisecond, func() { ask("GET", path, "dashboard") })
	}
	again(200*time.Millisecond, func() { ask("POST", "/v1/chat.post", "impatient", "Prefer", "wait=0") })
	all.Go(func() { ask("POST", "/v1/chat.post", "standup-bot", "X-Request-Id", "standup-17") })
}

func TestStatusPageInABrowser(t *testing.T) {
	t.Parallel() // it waits most of the time
	b := openBrowser(t)
	r, roam := servertest.Start(t, roamtest.Options{Latency: 50 * time.Millisecond}, io.Discard, nil)
	admin := "http://" + r.AdminAddr
	traffic, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)

	b.window(t, 1280, "light")
	b.do(t, "the page loads", chromedp.Navigate(admin+"/"))
	b.until(t, "events come", `document.getElementById("live").textContent === "live"`)
	if got := b.eval(t, `document.querySelector(".summary h2").textContent`); got != "All is well: no call waits." {
		t.Errorf("before any call the page says %q", got)
	}
	b.picture(t, "quiet")

	startTraffic(traffic, t, "http://"+r.Addr)
	const sent = `document.querySelectorAll(".chart .panel:first-child rect.sent").length`
	b.until(t, "calls that go out show", sent+" > 0")
	b.until(t, "queued calls show", `[...document.querySelectorAll(".holders tbody th")].some((th) => th.textContent === "exporter")`)
	b.do(t, "a user types", chromedp.Focus("#call"), chromedp.SendKeys("#call", "standup-17"))
	before := b.eval(t, `document.querySelector(".tokens b").textContent + document.querySelector(".figures").textContent`)
	b.until(t, "figures move", fmt.Sprintf("document.querySelector('.tokens b').textContent + "+
		"document.querySelector('.figures').textContent !== %q", before))
	if got := b.eval(t, `document.activeElement.id + " " + document.getElementById("call").value`); got != "call standup-17" {
		t.Errorf("while figures moved, focus and text became %q, want call standup-17", got)
	}
	b.until(t, "a refusal shows", `document.querySelector("#refusals + table td:nth-child(3)")?.textContent.includes("too long")`)
	b.until(t, "refusals are in the chart", `document.querySelectorAll("rect.refused").length > 0 &&
		document.querySelector(".chart").getAttribute("aria-label").match(/[1-9]\d* refused by roamproxy/) !== null`)
	b.picture(t, "flood")

	roam.Script(roamtest.Throttle("4"))
	b.until(t, "a pause shows", `document.querySelector(".quota .tag").textContent === "paused" &&
		document.querySelectorAll("rect.paused").length > 0 && document.querySelectorAll("rect.throttled").length > 0`)
	b.picture(t, "paused")
	b.until(t, "its end shows", `document.querySelector(".quota .tag").textContent === "running"`)

	b.do(t, "a call is looked up", chromedp.Navigate(admin+"/?call=standup-17"))
	b.until(t, "its answer comes", `document.querySelector(".found")?.textContent.includes("Roam took")`)
	b.picture(t, "why")
	b.accessible(t)
	b.withoutScripts(t, admin)

	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.problems) > 0 {
		t.Errorf("the browser complains: %q", b.problems)
	}
	if delete(b.hosts, r.AdminAddr); len(b.hosts) > 0 {
		t.Errorf("the page asked other hosts: %v", b.hosts)
	}
}

// cutOff names elements beyond the right edge, or that scroll sideways.
//
// Seen to fail with tables that scroll: on a phone the reasons of refusals were not visible.
const cutOff = `[...document.querySelectorAll("main *, header *, footer *")].filter((e) => {
	if (e.closest(".unseen, .cards thead, svg, .skip")) return false;
	const r = e.getBoundingClientRect();
	const scrolls = getComputedStyle(e).overflowX !== "visible" && e.tagName !== "INPUT" && e.scrollWidth > e.clientWidth + 1;
	return r.width > 0 && (r.right > innerWidth + 1 || scrolls);
}).map((e) => e.outerHTML.slice(0, 80))`

// faint names graphics with less contrast than WCAG 2.2, criterion 1.4.11, requires. The band behind a pause is an ornament, because the
// strip above it says the same.
const faint = `(() => {
	const light = (c) => {
		const [r, g, b] = c.match(/[\d.]+/g).slice(0, 3).map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const contrast = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
	const ground = (e) => getComputedStyle(e.closest("section")).backgroundColor;
	const weak = new Set();
	for (const e of document.querySelectorAll("main rect:not(.of, .band)")) {
		if (contrast(getComputedStyle(e).fill, ground(e)) < 3) weak.add(e.getAttribute("class"));
	}
	for (const e of document.querySelectorAll(".bar, .gauge")) {
		if (contrast(getComputedStyle(e).borderTopColor, ground(e)) < 3) weak.add("the frame of " + e.getAttribute("class"));
	}
	for (const e of document.querySelectorAll(".key i")) {
		if (contrast(getComputedStyle(e).backgroundColor, ground(e)) < 3) weak.add("the key of " + e.className);
	}
	return [...weak].join();
})()`

// picture checks the page at two widths and in both colour schemes: nothing is wider than the window, and the schemes differ.
func (b *browser) picture(t *testing.T, name string) {
	t.Helper()
	ground := make(map[string]string)
	for _, width := range []int64{1280, 390} {
		for _, scheme := range []string{"light", "dark"} {
			b.window(t, width, scheme)
			if got := b.eval(t, "document.documentElement.scrollWidth"); got != fmt.Sprint(width) {
				t.Errorf("%s: in a window of %d the page is %s wide", name, width, got)
			}
			if got := b.eval(t, cutOff); got != "" {
				t.Errorf("%s: in a window of %d these are cut off: %s", name, width, got)
			}
			if got := b.eval(t, faint); got != "" {
				t.Errorf("%s: in %s these graphics have less than 3:1 beside their ground: %s", name, scheme, got)
			}
			ground[scheme] = b.eval(t, "getComputedStyle(document.body).backgroundColor")
			if *screenshots != "" {
				png := ask(t, b, "a picture", chromedp.FullScreenshot(100))
				os.WriteFile(filepath.Join(*screenshots, fmt.Sprintf("%s-%d-%s.png", name, width, scheme)), png, 0o644)
			}
		}
	}
	if ground["light"] == ground["dark"] {
		t.Errorf("%s: light and dark are both %s", name, ground["light"])
	}
	b.window(t, 1280, "light")
}

// accessible checks what a program can check: landmarks, headings, labels, and headers of tables.
func (b *browser) accessible(t *testing.T) {
	t.Helper()
	for what, wrong := range map[string]string{
		"a landmark is missing": `["header", "main", "footer", "nav", "h1", "main h2", "[role=status]", "html[lang]"].
			filter((s) => !document.querySelector(s))`,
		"a field has no label": `[...all("input")].filter((i) => !i.labels.length).map((i) => i.outerHTML)`,
		"a picture has no words": `[...all("svg, .chart")].
			filter((s) => !s.closest("[aria-hidden=true]") && !s.getAttribute("aria-label")).map((s) => s.outerHTML.slice(0, 80))`,
		"a header of a table has no scope": `[...all("th")].filter((h) => !h.scope).map((h) => h.textContent)`,
		"a table has no name": `[...all("table")].
			filter((t) => !t.caption && !t.closest("[aria-labelledby]")).map((t) => t.outerHTML.slice(0, 80))`,
		"a part that scrolls has no focus": `[...all(".scroll")].filter((s) => s.tabIndex !== 0).map((s) => s.className)`,
		"an id is there twice":             `[...all("[id]")].map((e) => e.id).filter((id, i, all) => all.indexOf(id) !== i)`,
		"a label points nowhere": `[...all("[aria-labelledby]")].
			filter((e) => !document.getElementById(e.getAttribute("aria-labelledby"))).map((e) => e.className)`,
		"an element breaks the CSP": `[...all("[style], [onclick], script:not([src])")].map((e) => e.outerHTML.slice(0, 80))`,
	} {
		if got := b.eval(t, "(() => { const all = (s) => document.querySelectorAll(s); return "+wrong+" })()"); got != "" {
			t.Errorf("%s: %s", what, got)
		}
	}
	b.do(t, "the first key", chromedp.Navigate(b.eval(t, "location.origin")+"/"), chromedp.KeyEvent("\t"))
	if got := b.eval(t, "document.activeElement.className"); got != "skip" {
		t.Errorf("the first Tab goes to %q, want the link that skips to the main part", got)
	}
}

// withoutScripts checks that the page shows the same without scripts, and from when it is.
func (b *browser) withoutScripts(t *testing.T, admin string) {
	t.Helper()
	b.scripts(t, false)
	b.do(t, "a page without scripts", chromedp.Navigate(admin+"/"))
	text, live := ask(t, b, "reading", chromedp.Text("main")), ask(t, b, "reading", chromedp.Text("#live"))
	for _, want := range []string{"exporter", "/v1/groups.list", "Why did my call wait?", "credential org"} {
		if !strings.Contains(text, want) {
			t.Errorf("without scripts, %q is not on the page", want)
		}
	}
	if !strings.HasPrefix(live, "as of ") {
		t.Errorf("without scripts the page says %q, want as of when it is", live)
	}
}
