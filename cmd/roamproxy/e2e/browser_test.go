package e2e

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"roamproxy/proxy/roamtest/redistest"
)

// browser is a Chromium of the test's own, with the problems that it reported and the hosts that it called.
type browser struct {
	ctx context.Context

	mu       sync.Mutex // guards the following
	problems []string
	hosts    map[string]bool
	answered map[string]int64 // status of the last answer, by URL
}

func openBrowser(t *testing.T, more ...chromedp.ExecAllocatorOption) *browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(redistest.Program(t, "chromium")),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox, chromedp.DisableGPU, // a container, as root, has neither
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.WSURLReadTimeout(time.Minute))
	options = append(options, more...)
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	b := &browser{hosts: make(map[string]bool), answered: make(map[string]int64)}
	ctx, cancel := chromedp.NewContext(allocator, chromedp.WithListener(b.record))
	b.ctx = ctx
	t.Cleanup(func() { chromedp.Cancel(ctx); cancel(); stop() })
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return b
}

// record keeps what the browser reports.
func (b *browser) record(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.problems = append(b.problems, fmt.Sprint(e.ExceptionDetails.Text, e.ExceptionDetails.Exception))
	case *runtime.EventConsoleAPICalled:
		b.problems = append(b.problems, fmt.Sprint("console: ", e.Args))
	case *log.EventEntryAdded:
		b.problems = append(b.problems, e.Entry.Text+" "+e.Entry.URL)
	case *network.EventResponseReceived:
		b.answered[e.Response.URL] = e.Response.Status
	case *network.EventRequestWillBeSent:
		if u, err := url.Parse(e.Request.URL); err == nil {
			b.hosts[u.Host] = true
		}
	}
}

// answers returns the status of the last answer so far, by URL.
func (b *browser) answers() map[string]int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.answered)
}

// browserTimeout is longer than any step takes in a browser that does not hang.
const browserTimeout = time.Minute

func (b *browser) do(t *testing.T, what string, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ask(t, b, what, chromedp.Steps(steps...))
}

// ask runs an action and returns its result.
func ask[T any](t *testing.T, b *browser, what string, action chromedp.Action[T]) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browserTimeout)
	defer cancel()
	answer, err := chromedp.Run(ctx, action)
	if err != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		t.Fatalf("%s: %v; the browser says %q", what, err, b.problems)
	}
	return answer
}

func (b *browser) eval(t *testing.T, expression string) string {
	t.Helper()
	return ask(t, b, expression, chromedp.Evaluate[string]("String("+expression+")"))
}

// until waits for a condition in the page. It asks from here, because the page's own policy forbids code from text.
func (b *browser) until(t *testing.T, what, condition string) {
	t.Helper()
	for deadline := time.Now().Add(browserTimeout); b.eval(t, condition) != "true"; <-time.After(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: %s is not so; the page says\n%s", what, condition, b.eval(t, "document.body.innerText"))
		}
	}
}

// window sets width and colour scheme. An empty scheme is the browser's own.
func (b *browser) window(t *testing.T, width int64, scheme string) {
	t.Helper()
	b.do(t, "another window", chromedp.EmulateViewport(width, 900), chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia,
			emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return err
	}))
}

func (b *browser) scripts(t *testing.T, on bool) {
	t.Helper()
	b.do(t, "scripts", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
		return err
	}))
}
