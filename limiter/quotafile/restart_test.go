package quotafile_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"roamproxy/limiter"
	"roamproxy/limiter/quotafile"
	"roamproxy/limiter/statefile"
)

// Seen to fail with the pause forgotten, and with the level forgotten.
func TestLevelAndPauseOutliveTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, err := statefile.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		bucket, _ := limiter.NewLocal(1, 10, 0)
		first := limiter.New(limiter.Options{Bucket: bucket, Keeper: quotafile.Open(dir, "roam")})
		defer first.Close() // when the second process has come: this is kill -9
		permit := func(q *limiter.Queue) *limiter.Permit {
			p, err := q.Wait(t.Context(), limiter.Caller{Longest: -1})
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		for range 10 {
			p := permit(first)
			p.Answered()
			p.Release()
		}
		time.Sleep(3 * time.Second)
		bucket, _ = limiter.NewLocal(1, 10, 0)
		state := quotafile.Open(dir, "roam")
		if r, err := state.Restore(bucket); r.Paused != 0 || err != nil {
			t.Fatalf("restore: paused %v, %v", r.Paused, err)
		}
		if got := bucket.Level(time.Now()); got != 3 {
			t.Errorf("3 s after the burst the level is %v, want 3", got)
		}
		p := permit(first)
		p.Throttled(30 * time.Second)
		p.Release()
		time.Sleep(20 * time.Second)
		r, err := state.Restore(bucket)
		if r.Paused != 10*time.Second || err != nil {
			t.Errorf("20 s into a pause of 30 a restart finds %v (%v), want 10s", r.Paused, err)
		}
		second := limiter.New(limiter.Options{Bucket: bucket, Paused: r.Paused})
		defer second.Close()
		start := time.Now()
		permit(second).Release()
		if got := time.Since(start); got != 10*time.Second {
			t.Errorf("after the restart the first call went after %v, want 10s", got)
		}
	})
}

// A process spends the burst and is restarted at once: the next one does not spend it again.
func Example() {
	folder, err := os.MkdirTemp("", "roamproxy-example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(folder)
	dir, err := statefile.Open(folder)
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		bucket, _ := limiter.NewLocal(1.0/60, 2, 0)
		file := quotafile.Open(dir, "roam")
		restored, err := file.Restore(bucket)
		if err != nil {
			fmt.Println(err)
		}
		queue := limiter.New(limiter.Options{Bucket: bucket, Keeper: file, Paused: restored.Paused, Learned: restored.Learned})
		sent := 0
		for {
			permit, err := queue.Wait(context.Background(), limiter.Caller{Longest: 0})
			if err != nil {
				break
			}
			sent++
			permit.Answered()
			permit.Release()
		}
		queue.Close()
		fmt.Println(sent, "calls")
	}
	// Output:
	// 2 calls
	// 0 calls
}
