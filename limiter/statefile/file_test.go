package statefile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAFileIsReplaced(t *testing.T) {
	f := open(t, t.TempDir()).File("f", 1)
	if _, err := f.Read(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before the first: %v, want fs.ErrNotExist", err)
	}
	for _, content := range []string{`{"version":1,"a":1}`, `{"a":2}`, `{"version":1}`} {
		if err := f.Replace([]byte(content)); err != nil {
			t.Fatal(err)
		}
		if got, err := f.Read(); string(got) != content || err != nil {
			t.Errorf("read %q, %v; want %q", got, err, content)
		}
		if info, _ := os.Stat(f.Path()); info.Mode() != 0o600 {
			t.Errorf("the mode is %v, want 0600", info.Mode())
		}
	}
	if left, _ := filepath.Glob(f.Path() + ".*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A file that others can still write, because they created it or have it open, never receives the next content.
func TestADraftIsAlwaysANewFile(t *testing.T) {
	f := open(t, t.TempDir()).File("f", 1)
	os.WriteFile(f.Path()+".new", []byte("of a process that was killed"), 0o600)
	held, err := os.Open(f.Path() + ".new")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	d, err := f.Reserve(100)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Commit([]byte(`{"secret":1}`)); err != nil {
		t.Fatal(err)
	}
	if info, _ := held.Stat(); info.Size() != int64(len("of a process that was killed")) {
		t.Error("the draft was written into a file that was there before")
	}
	if got, err := f.Read(); string(got) != `{"secret":1}` || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestADraftThatIsDiscarded(t *testing.T) {
	f := open(t, t.TempDir()).File("f", 1)
	f.Replace([]byte(`{"a":1}`))
	d, err := f.Reserve(100)
	if err != nil {
		t.Fatal(err)
	}
	d.Discard()
	if left, _ := filepath.Glob(f.Path() + ".*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if got, _ := f.Read(); string(got) != `{"a":1}` {
		t.Errorf("read %q, want the content of before", got)
	}
}

// Seen to fail with a file of another version that is overwritten.
func TestAFileOfALaterVersionIsSetAside(t *testing.T) {
	for _, later := range []string{`{"version":2}`, `{"used":[],"version":9}`, "roamproxy-state-2 00000000 \n"} {
		t.Run(later, func(t *testing.T) {
			f := open(t, t.TempDir()).File("f", 1)
			os.WriteFile(f.Path(), []byte(later), 0o600)
			if _, err := f.Read(); !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), f.Path()) {
				t.Errorf("%v, want ErrNewer and the path", err)
			}
			if err := f.Replace([]byte(`{"version":1}`)); err != nil {
				t.Fatal(err)
			}
			if aside, _ := os.ReadFile(f.Path() + ".other-version"); string(aside) != later {
				t.Errorf("set aside: %q, want %q", aside, later)
			}
			if got, err := f.Read(); string(got) != `{"version":1}` || err != nil {
				t.Errorf("read %q, %v, want what was written last", got, err)
			}
		})
	}
}
