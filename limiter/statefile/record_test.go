package statefile

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestARecordReadsAsItWasWritten(t *testing.T) {
	r := open(t, t.TempDir()).Record("r", 1)
	if _, err := r.Read(); !errors.Is(err, fs.ErrNotExist) || r.Err() != nil {
		t.Errorf("before the first: %v, %v; want fs.ErrNotExist and that it can be written", err, r.Err())
	}
	rapid.Check(t, func(t *rapid.T) {
		body := rapid.StringMatching(`[^ \x00]{0,120}`).Draw(t, "body")
		r.Write([]byte(body))
		got, err := r.Read()
		if string(got) != body || err != nil || r.Err() != nil {
			t.Fatalf("read %q, %v, %v; want %q", got, err, r.Err(), body)
		}
		if info, err := os.Stat(r.Path()); err != nil || info.Size() != RecordSize {
			t.Fatalf("the file has %d bytes, want always %d", info.Size(), RecordSize)
		}
	})
	if r.Write(make([]byte, MaxBody)); r.Err() != nil {
		t.Errorf("the largest body: %v", r.Err())
	}
	r.Write(make([]byte, MaxBody+1))
	if body, err := r.Read(); len(body) > 0 {
		t.Errorf("after a body that is too large: %q, %v; want an empty body or an error", body, err)
	}
}

// The file is written in place, so it must be the one that a restart will find, and no byte of an older one may stay in it.
//
// Seen to fail with a file that is opened once.
func TestARecordIsWhereARestartLooks(t *testing.T) {
	d := open(t, t.TempDir())
	path := d.Path() + "/r"
	os.WriteFile(path, []byte(strings.Repeat("of another program\n", 100)), 0o600)
	r := d.Record("r", 1)
	found := func(want string) {
		t.Helper()
		if body, err := d.Record("r", 1).Read(); string(body) != want || err != nil {
			t.Errorf("a restart finds %q, %v; want %q", body, err, want)
		}
	}
	r.Write([]byte("one"))
	found("one")
	before := r.file
	os.Remove(path)
	r.Write([]byte("two"))
	if err := before.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the file that was removed is held open (%v)", err)
	}
	found("two")
	os.Rename(path, path+".away")
	os.WriteFile(path, encode(nil, 1, []byte("of before")), 0o600)
	r.Write([]byte("three"))
	found("three")
	os.Rename(path, path+".away")
	os.Symlink(path+".away", path)
	if r.Write([]byte("four")); r.Err() == nil {
		t.Error("a record is written through a link that came meanwhile")
	}
	os.Remove(path)
	if r.Err() != nil {
		t.Errorf("once the link is gone: %v, want it written without a call", r.Err())
	}
	found("four")
}

// Seen to fail with a failure that leaves the old record.
func TestARecordThatIsNoLongerWrittenIsNoLongerBelieved(t *testing.T) {
	d := open(t, t.TempDir())
	r := d.Record("r", 1)
	r.Write([]byte("stale"))
	r.file.Close() // a disk that takes no more
	r.Write([]byte("fresh"))
	if body, err := d.Record("r", 1).Read(); err == nil {
		t.Errorf("the stale %q is believed", body)
	}
	os.Remove(r.Path())
	os.Mkdir(r.Path(), 0o700)
	if r.Write([]byte("next")); r.Err() == nil {
		t.Error("Err = nil, want that a directory is in the way")
	}
	os.Remove(r.Path())
	if r.Err() != nil {
		t.Errorf("Err = %v once it is gone, want the last record written without a call", r.Err())
	}
	if body, err := d.Record("r", 1).Read(); string(body) != "next" || err != nil {
		t.Errorf("a restart finds %q, %v; want what could not be written then", body, err)
	}
}

func TestARecordOfALaterVersionIsSetAside(t *testing.T) {
	d := open(t, t.TempDir())
	d.Record("r", 9).Write([]byte("later"))
	later, _ := os.ReadFile(d.Path() + "/r")
	r := d.Record("r", 2)
	if _, err := r.Read(); !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "other-version") {
		t.Errorf("%v, want ErrNewer and where the file will be", err)
	}
	r.Write([]byte("now"))
	if aside, _ := os.ReadFile(r.Path() + ".other-version"); string(aside) != string(later) {
		t.Errorf("set aside: %q, want %q", aside, later)
	}
	if body, err := r.Read(); string(body) != "now" || err != nil {
		t.Errorf("read %q, %v", body, err)
	}
	if body, err := d.Record("r", 3).Read(); string(body) != "now" || err != nil {
		t.Errorf("a later version reads %q, %v; want what this one wrote", body, err)
	}
}

// FuzzRecord: what is read was written whole.
func FuzzRecord(f *testing.F) {
	f.Add(encode(nil, 1, []byte(`{"level":4}`)))
	f.Add([]byte("roamproxy-state-1 00000000 \n"))
	f.Add([]byte("roamproxy-state-1"))
	f.Fuzz(func(t *testing.T, content []byte) {
		versionOf(content)
		if body, err := decode(content); err == nil && len(body) <= MaxBody {
			if again, err := decode(encode(nil, 1, body)); err != nil || string(again) != string(body) {
				t.Errorf("%q is read, and %q (%v) once it is written again", body, again, err)
			}
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	d, err := Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	r := d.Record("r", 1)
	body := []byte(`{"level":4,"at":"2026-11-28T19:00:00Z"}`)
	b.ReportAllocs()
	for b.Loop() {
		r.Write(body)
	}
	if r.Err() != nil {
		b.Fatal(r.Err())
	}
}
