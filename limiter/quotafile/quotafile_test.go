package quotafile

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"roamproxy/limiter"
	"roamproxy/limiter/statefile"
)

// Seen to fail with a file of tomorrow believed, and with one whose sum is wrong.
func TestWhatIsKnownAtStartDecidesTheFirstBurst(t *testing.T) {
	now := time.Now()
	whole := t.TempDir()
	write(t, whole, version, limiter.Kept{Level: 4, At: now})
	content, _ := os.ReadFile(filepath.Join(whole, "quota-roam.state"))
	good := string(content)
	state := func(k limiter.Kept) string {
		dir := t.TempDir()
		write(t, dir, version, k)
		content, _ := os.ReadFile(filepath.Join(dir, "quota-roam.state"))
		return string(content)
	}
	for _, tt := range []struct {
		name, content string
		level         float64
		says          string
	}{
		{"no file is a first start", "", 10, ""},
		{"a file of now", good, 4, ""},
		{"an empty file", "\x00", 0, "damaged"},
		{"a file of zeros", strings.Repeat("\x00", len(good)), 0, "damaged"},
		{"half a file", good[:len(good)/2], 0, "damaged"},
		{"a changed digit", strings.Replace(good, `"level":4`, `"level":9`, 1), 0, "damaged"},
		{"another version", strings.Replace(good, "state-2", "state-3", 1), 0, "later roamproxy"},
		{"a file of tomorrow", state(limiter.Kept{Level: 4, At: now.Add(24 * time.Hour)}), 0, "future"},
		{"a negative level", state(limiter.Kept{Level: -1, At: now}), 0, "damaged"},
		{"a level that is no number", state(limiter.Kept{Level: math.NaN(), At: now}), 0, "damaged"},
		{"more than the burst", state(limiter.Kept{Level: 400, At: now}), 10, ""},
		{"a file of last year", state(limiter.Kept{Level: 0, At: now.Add(-365 * 24 * time.Hour)}), 10, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if tt.content != "" {
				os.WriteFile(filepath.Join(dir, "quota-roam.state"), []byte(tt.content), 0o600)
			}
			b, _ := limiter.NewLocal(1, 10, 0)
			_, err := open(t, dir).Restore(b)
			if got := b.Level(time.Now()); got < tt.level || got > tt.level+0.5 {
				t.Errorf("level = %v, want %v", got, tt.level)
			}
			if tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("error = %v, want one that says %q", err, tt.says)
			}
		})
	}
}

func TestTheLongestStateHasRoomInARecord(t *testing.T) {
	far := time.Date(2999, 12, 31, 23, 59, 59, 123456789, time.FixedZone("", -12*3600))
	long := written{Kept: limiter.Kept{Level: 4.123456789012345e-7, At: far, Paused: true, Until: far,
		Learned: limiter.AdaptState{Rate: 0.9123456789012345e-7, Burst: 6.123456789012345e-7, Hold: 0.9123456789012345e-7, At: far}},
		Boot: strings.Repeat("f", 36), Up: 1 << 62}
	dir := t.TempDir()
	write(t, dir, version, long)
	body, err := open(t, dir).record.Read()
	if err != nil {
		t.Fatal(err)
	}
	k, err := decode(body)
	if err != nil || !k.At.Equal(far) || k.Level != long.Level || k.Boot != long.Boot || k.Learned.Burst != long.Learned.Burst {
		t.Errorf("read %+v, %v; want %+v", k, err, long)
	}
}

// Seen to fail with a failure that only the next Keep takes back.
func TestStateThatCannotBeWritten(t *testing.T) {
	blocked := filepath.Join(t.TempDir(), "file")
	os.WriteFile(blocked, nil, 0o600)
	state := open(t, filepath.Join(blocked, "dir")) // below a file no directory can be made, not even by root
	b, _ := limiter.NewLocal(1, 10, 0)
	if _, err := state.Restore(b); err == nil || state.Err() == nil {
		t.Errorf("restore: %v, Err: %v, want both to say that it cannot be written", err, state.Err())
	}
	if got := b.Level(time.Now()); got > 0.5 {
		t.Errorf("level = %v, want an empty bucket", got)
	}
	os.Remove(blocked)
	if err := state.Err(); err != nil {
		t.Errorf("Err = %v once the directory can be made, want nil without a write", err)
	}
	state.Keep(limiter.Kept{Level: 3, At: time.Now()})
	os.RemoveAll(blocked)
	os.WriteFile(blocked, nil, 0o600)
	if state.Keep(limiter.Kept{Level: 2, At: time.Now()}); state.Err() == nil {
		t.Error("Err = nil, want that the directory is gone")
	}
	os.Remove(blocked)
	os.MkdirAll(filepath.Join(blocked, "dir"), 0o700)
	if err := state.Err(); err != nil {
		t.Errorf("Err = %v once it is there again, want nil without a write", err)
	}
	if _, err := open(t, filepath.Join(blocked, "dir")).Restore(b); err != nil || b.Level(time.Now()) < 2 || b.Level(time.Now()) > 2.5 {
		t.Errorf("a restart finds %v (%v), want the 2 that could not be written then", b.Level(time.Now()), err)
	}
}

func TestStateOfTheFirstFormatIsRead(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, 1, limiter.Kept{Level: 4, At: time.Now()})
	b, _ := limiter.NewLocal(1, 10, 0)
	if _, err := open(t, dir).Restore(b); err != nil || b.Level(time.Now()) < 4 {
		t.Errorf("level = %v, %v, want the 4 of the old file", b.Level(time.Now()), err)
	}
}

func TestStateOfALaterVersionIsSetAside(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "quota-roam.state")
	write(t, dir, 9, limiter.Kept{Level: 4, At: time.Now()})
	later, _ := os.ReadFile(path)
	b, _ := limiter.NewLocal(1, 10, 0)
	state := open(t, dir)
	if _, err := state.Restore(b); err == nil || !strings.Contains(err.Error(), "other-version") || b.Level(time.Now()) > 0.5 {
		t.Errorf("level = %v, %v, want an empty bucket and to be told where the file is", b.Level(time.Now()), err)
	}
	state.Keep(limiter.Kept{Level: 1, At: time.Now()})
	if got, _ := os.ReadFile(path + ".other-version"); string(got) != string(later) {
		t.Errorf("set aside: %q, want the file as it was", got)
	}
}

// open opens the state of a quota in dir.
func open(t testing.TB, dir string) *File {
	t.Helper()
	d, err := statefile.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return Open(d, "roam")
}

// write writes k as a process of that version of the state would.
func write(t testing.TB, dir string, version int, k any) {
	t.Helper()
	d, err := statefile.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := json.Marshal(k)
	record := d.Record("quota-roam.state", version)
	if record.Write(body); record.Err() != nil {
		t.Fatal(record.Err())
	}
}

func BenchmarkKeep(b *testing.B) {
	state := open(b, b.TempDir())
	k := limiter.Kept{Level: 4, At: time.Now()}
	b.ReportAllocs()
	for b.Loop() {
		state.Keep(k)
	}
	if state.Err() != nil {
		b.Fatal(state.Err())
	}
}

func FuzzState(f *testing.F) {
	body, _ := json.Marshal(limiter.Kept{Level: 4, At: time.Unix(1_800_000_000, 0).UTC()})
	f.Add(body)
	f.Fuzz(func(t *testing.T, body []byte) {
		k, err := decode(body)
		if err == nil && (k.Level < 0 || k.At.IsZero()) {
			t.Errorf("read %+v, which no queue wrote", k)
		}
	})
}
