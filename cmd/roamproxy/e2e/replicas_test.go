package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"roamproxy/proxy/roamtest"
	"roamproxy/proxy/roamtest/redistest"
)

// replica is one of several roamproxies, in processes of their own, that share a quota.
type replica struct{ *process }

// replicas starts n of them, with these lines of configuration besides what all need, and waits until they share. Each has two calls
// in flight at most. On a machine that stands still these arrive late and together, so the bucket holds as many back of the burst.
func replicas(t *testing.T, n int, roam *roamtest.Server, redis *redistest.Redis, lines string) []replica {
	t.Helper()
	var all []replica
	for range n {
		dir := t.TempDir()
		file := filepath.Join(dir, "roamproxy.yaml")
		text := fmt.Sprintf("listen: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0}\nupstream: {url: %s, max_in_flight: 2}\n"+
			"state_dir: %s\nredis: {url: %s, replicas: %d}\nlog: {format: json}\n%s", roam.URL, dir, redis.URL(), n, lines)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(program(t), "serve", "-config", file)
		cmd.Env = append(os.Environ(), "ROAM_API_KEY="+roamtest.DefaultKey)
		all = append(all, replica{begin(t, cmd)})
	}
	awaitRedis(t, all)
	return all
}

// metric returns the value of a metric; "" if there is none of this name and these labels.
func (r replica) metric(t *testing.T, name string) string {
	_, body := get(t, http.DefaultClient, r.admin+"/metrics")
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// becomes waits until a metric has a value at every replica.
func becomes(t *testing.T, all []replica, name, value string) {
	t.Helper()
	for i, r := range all {
		eventually(t, fmt.Sprintf("%s is %s at replica %d", name, value, i), func() bool { return r.metric(t, name) == value })
	}
}

// awaitRedis waits until every replica reaches Redis.
func awaitRedis(t *testing.T, all []replica) {
	t.Helper()
	becomes(t, all, "roamproxy_redis_up", "1")
}

// twentyASecond is a fast quota, and one route that is not cached.
const twentyASecond = "quotas: [{name: roam, rate: 20, burst: 10, jitter: 200ms, max_wait: 10m}]\n" +
	"cache: {rules: [{match: GET /v1/meeting.search, ttl: 0}]}\n"

// writes sends so many through each replica, and counts what they are answered.
func writes(t *testing.T, all []replica, each int) (answers map[int]int) {
	t.Helper()
	c := client(t)
	var mu sync.Mutex
	answers = make(map[int]int)
	var sent sync.WaitGroup
	for _, r := range all {
		for range each {
			sent.Go(func() {
				got := post(c, r.base)
				mu.Lock()
				answers[got]++
				mu.Unlock()
			})
		}
	}
	sent.Wait()
	return answers
}

// losses returns how often replicas have lost Redis, as they do on a busy machine.
func losses(all []replica) (times int) {
	for _, r := range all {
		times += r.logged("Redis is unreachable")
	}
	return times
}

// lossCost is what the loss of Redis costs three replicas of the rate: one of them sends nothing for its lease of a second, and has an
// empty bucket then.
const lossCost = time.Second / 2

// Three replicas that each spent the quota would be refused hundreds of times. At least 98 % of the rate is used. The burst is large
// enough for a machine that stands still for two seconds.
//
// Seen to fail with a bucket that fills 3 % more slowly.
func TestThreeReplicasUseOneQuota(t *testing.T) {
	const burst, each = 60, 100
	roam, redis := roamtest.NewServer(roamtest.Options{Rate: 20, Burst: burst + 10}), redistest.NewRedis(t)
	defer roam.Close()
	all := replicas(t, 3, roam, redis, strings.Replace(twentyASecond, "burst: 10", fmt.Sprint("burst: ", burst), 1))
	if got := writes(t, all, each); got[200] != 3*each || roam.Refused() != 0 {
		t.Errorf("%d writes were answered %v, and %d calls refused; want 200 for all and none", 3*each, got, roam.Refused())
	}
	after := roam.Journal()[burst:] // the burst is gone, and every replica has registered
	const last = 60                 // calls in which three replicas catch up on a busy machine
	behind, took := late(after, 20, last), time.Duration(len(after)-last)*time.Second/20
	lost := losses(all)
	t.Logf("after %v the calls came %v too late; Redis was lost %d times", took, behind, lost)
	if most := took/50 + time.Duration(lost)*lossCost; behind > most {
		t.Errorf("after %v the calls came %v too late and Redis was lost %d times; want at most %v, which is 98 %% of the rate", took, behind,
			lost, most)
	}
	eventually(t, "the status shows 3 replicas", func() bool {
		_, status := get(t, http.DefaultClient, all[0].admin+"/api/status")
		return strings.Contains(status, `"replicas":3`)
	})
}

func TestReplicasContinueWithoutRedis(t *testing.T) {
	for _, tt := range []struct {
		name            string
		breaks, repairs func(*redistest.Redis)
	}{
		{"it is killed and comes back empty", (*redistest.Redis).Kill, (*redistest.Redis).Start},
		{"it hangs for a while", (*redistest.Redis).Hang, (*redistest.Redis).Resume},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			roam, redis := roamtest.NewServer(roamtest.Options{Rate: 20}), redistest.NewRedis(t)
			defer roam.Close()
			all := replicas(t, 3, roam, redis, strings.Replace(twentyASecond, "200ms", "400ms", 1)) // of a busy machine
			var answers map[int]int
			var sent sync.WaitGroup
			sent.Go(func() { answers = writes(t, all, 60) })
			eventually(t, "30 calls", func() bool { return roam.Calls() >= 30 })
			tt.breaks(redis)
			becomes(t, all, "roamproxy_redis_up", "0")
			for i, r := range all {
				res, body := get(t, http.DefaultClient, r.admin+"/readyz")
				if res.StatusCode != 200 || !strings.Contains(body, "calls continue at 1/3 of the rate") {
					t.Errorf("replica %d: /readyz is %d %s, want 200 and a note", i, res.StatusCode, body)
				}
			}
			before := roam.Calls()
			eventually(t, "calls go on without Redis", func() bool { return roam.Calls() >= before+40 }) // for more than two seconds
			tt.repairs(redis)
			awaitRedis(t, all)
			sent.Wait()
			if answers[200] != 180 || roam.Refused() != 0 {
				t.Errorf("180 writes were answered %v, and %d calls refused; want 200 for all and none", answers, roam.Refused())
			}
			for i, r := range all {
				eventually(t, fmt.Sprintf("replica %d logs each change", i), func() bool { // the line comes after the metric
					return r.logged("Redis is reachable") == r.logged("Redis is unreachable")+1
				})
				if lost := r.logged("Redis is unreachable"); lost < 1 || lost > 10 { // a busy machine may lose it more than once
					t.Errorf("replica %d logged %d times that Redis was lost, want once", i, lost)
				}
			}
		})
	}
}

// queued returns how many calls are queued at a replica.
func (r replica) queued(t *testing.T) (calls int) {
	_, body := get(t, http.DefaultClient, r.admin+"/metrics")
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "roamproxy_queue_length{") {
			n, _ := strconv.Atoi(strings.Fields(line)[1])
			calls += n
		}
	}
	return calls
}

// While one replica's probe is under way the others send nothing. When that replica dies another probes. A replica that loses Redis
// meanwhile, as on a busy machine, may send one call for its own share.
func TestAnotherReplicaProbesWhenTheProberDies(t *testing.T) {
	roam, redis := roamtest.NewServer(roamtest.Options{Rate: 20}), redistest.NewRedis(t)
	defer roam.Close()
	all := replicas(t, 3, roam, redis, twentyASecond)
	lost := losses(all)
	roam.Script(roamtest.Throttle("1"), roamtest.Hang())
	c := client(t)
	var asked sync.WaitGroup
	asked.Go(func() { post(c, all[0].base) }) // is refused, and then probes, and Roam does not answer
	becomes(t, all, `roamproxy_quota_paused{quota="roam"}`, "1")
	eventually(t, "the probe", func() bool { return roam.Calls() >= 2 })
	answers := make([]int, 2)
	for i, r := range all[1:] {
		asked.Go(func() { answers[i] = post(c, r.base) })
		eventually(t, "the call is queued or sent", func() bool { return r.queued(t) == 1 || roam.Calls() > 2+i })
	}
	beats := redis.Calls("evalsha")
	eventually(t, "the replicas have asked for a token", func() bool { return redis.Calls("evalsha") >= beats+6 })
	during := roam.Calls()
	if during > 2 {
		eventually(t, "each further call is of a replica that lost Redis", func() bool { return losses(all)-lost >= during-2 })
	}
	all[0].kill()
	asked.Wait()
	for i, got := range answers {
		if got != 200 {
			t.Errorf("once the prober is dead replica %d answers %d, want 200", i+1, got)
		}
	}
	becomes(t, all[1:], `roamproxy_quota_paused{quota="roam"}`, "0")
}
