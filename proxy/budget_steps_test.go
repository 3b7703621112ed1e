package proxy

import (
	"testing"
	"testing/synctest"
	"time"

	"roamproxy/proxy/budget"
	"roamproxy/proxy/roamtest"
)

// newBudgetHarness returns a harness with two tools: bot, which may make perDay calls a day, and free. A tool's token is its name.
func newBudgetHarness(t *testing.T, roam *roamtest.Roam, perDay int, budgets *budget.Counts, changes ...func(*setup)) *harness {
	return newHarness(t, roam, nil, append(changes, func(p *setup) {
		p.proxy.Budgets = budgets
		p.proxy.Tools = []Tool{
			{Name: "bot", Tokens: tokens("bot"), CallsPerDay: perDay},
			{Name: "free", Tokens: tokens("free")},
		}
	})...)
}

func openBudgets(t *testing.T, dir string) *budget.Counts {
	t.Helper()
	b, err := budget.Open(stateDir(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCallsBeyondTheBudgetOfADayAreRefused(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { // which begins at midnight UTC
		time.Sleep(20 * time.Hour)
		roam := roamtest.New(roamtest.Options{Rate: 100, Burst: 100})
		h := newBudgetHarness(t, roam, 5, openBudgets(t, dir), unmetered)
		call := func(h *harness, when, tool, target string, want int) {
			t.Helper()
			w := h.do(t.Context(), "GET", target, "", "Authorization", "Bearer "+tool)
			if w.Code != want {
				t.Errorf("%s: %s is answered %d, want %d: %s", when, target, w.Code, want, w.Body)
			}
			if after := w.Header().Get("Retry-After"); want == 429 && (w.Header().Get("Roamproxy-Error") != "budget" || after != "14399") {
				t.Errorf("%s: %v, Retry-After %s; want budget and the second at which the day ends", when, w.Header()["Roamproxy-Error"], after)
			}
		}
		roam.Script(roamtest.Throttle("0"), roamtest.ResetBefore())
		call(h, "a call that was refused, then cut", "bot", "/v1/meeting.search", 200) // three attempts, and a pause of a second
		call(h, "the fourth", "bot", "/v1/user.list", 200)
		call(h, "a hit costs nothing", "bot", "/v1/user.list", 200)
		call(h, "a refused request costs nothing", "bot", "http://x/v1/meeting.search", 400)
		call(h, "the fifth", "bot", "/v1/meeting.search", 200)
		before := roam.Calls()
		call(h, "the sixth", "bot", "/v1/meeting.search", 429)
		call(h, "a tool without a limit", "free", "/v1/meeting.search", 200)
		call(h, "a hit after the limit", "bot", "/v1/user.list", 200)
		if got := roam.Calls() - before; got != 1 {
			t.Errorf("%d calls reached Roam, want that of the tool without a limit", got)
		}
		call(newBudgetHarness(t, roam, 5, openBudgets(t, dir), unmetered), "after a restart", "bot", "/v1/meeting.search", 429)
		time.Sleep(4*time.Hour + time.Second)
		call(h, "after midnight", "bot", "/v1/meeting.search", 200)
	})
}

// Queued calls count: no call waits for a permit that it may not use.
func TestABudgetCountsQueuedCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBudgetHarness(t, roamtest.New(roamtest.Options{}), 12, openBudgets(t, t.TempDir()))
		answers := make(chan int, 20)
		for range 20 {
			go func() {
				answers <- h.do(t.Context(), "POST", "/v1/chat.post", `{"chat":"C-1"}`, "Authorization", "Bearer bot").Code
			}()
		}
		synctest.Wait()
		if len(answers) != 18 { // ten were sent, eight were refused, two are queued
			t.Errorf("%d were answered at once, want 18", len(answers))
		}
		time.Sleep(3 * time.Second)
		count := map[int]int{}
		for range 20 {
			count[<-answers]++
		}
		if count[200] != 12 || count[429] != 8 || h.roam.Calls() != 12 {
			t.Errorf("answers %v, %d calls; want 12 and 8 refused", count, h.roam.Calls())
		}
	})
}

// A call that leaves the queue no longer counts.
func TestABudgetReleasesAbandonedCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newBudgetHarness(t, roamtest.New(roamtest.Options{}), 1, openBudgets(t, t.TempDir()))
		h.bucket.Restore(time.Now(), 0)
		h.roam.Spend(10)
		for _, want := range []int{429, 200, 429} {
			prefer := "wait=0"
			if want == 200 {
				prefer = "wait=5"
			}
			w := h.do(t.Context(), "POST", "/v1/chat.post", `{"chat":"C-1"}`, "Authorization", "Bearer bot", "Prefer", prefer)
			if w.Code != want {
				t.Errorf("with %s: %d %s, want %d", prefer, w.Code, w.Header().Get("Roamproxy-Error"), want)
			}
		}
		if got := h.last().Code; got != "budget" {
			t.Errorf("the last one is refused for %q, want budget", got)
		}
	})
}

func TestAToolsLongestWaitLimitsItsRequests(t *testing.T) {
	for _, tt := range []struct {
		name                  string
		longest               time.Duration
		tool, prefer, applied string
		refused               bool
	}{ // the forecast wait is 20 s
		{"shorter than the forecast", 15 * time.Second, "bot", "", "", true},
		{"shorter than what the request prefers", 15 * time.Second, "bot", "wait=60", "wait=15", true},
		{"of another tool", 15 * time.Second, "free", "", "", false},
		{"longer than what the request prefers", 25 * time.Second, "bot", "wait=5", "wait=5", true},
		{"longer than the forecast", 25 * time.Second, "bot", "", "", false},
		{"longer than the quota's", 5 * time.Minute, "bot", "wait=300", "wait=60", false},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			h := newBudgetHarness(t, roamtest.New(roamtest.Options{}), 0, nil, func(p *setup) { p.rate = 0.05 })
			h.tools.configured[0].MaxWait = tt.longest
			h.bucket.Restore(time.Now(), 0)
			w := h.do(t.Context(), "POST", "/v1/chat.post", `{"chat":"C-1"}`, "Authorization", "Bearer "+tt.tool, "Prefer", tt.prefer)
			if got := w.Header().Get("Preference-Applied"); got != tt.applied || (w.Code == 429) != tt.refused {
				t.Errorf("answered %d with %q, want %q and refused = %v", w.Code, got, tt.applied, tt.refused)
			}
		})
	}
}
