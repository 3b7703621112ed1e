package e2e

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"roamproxy/proxy/roamtest/redistest"
)

// Ten compressed answers of 60 KB arrive at once and expand to 60 MB each, in a container of 128 MiB. roamproxy reads them without
// keeping what it has read.
//
// Seen to fail with a decoder that keeps each string: 867 MB.
func TestExpandingAnswersFitIntoAContainer(t *testing.T) {
	const container, answers, most = 128 << 20, 10, 64 << 20
	program := filepath.Join(t.TempDir(), "roamproxy") // without the race detector, which takes several times the memory
	if out, err := exec.Command(redistest.Program(t, "go"), "build", "-o", program, "roamproxy/cmd/roamproxy").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, tt := range []struct{ name, text string }{
		{"one long string", `{"x":"` + strings.Repeat("a", 60<<20) + `","ok":true}`},
		{"many short ones", `{"x":[` + strings.Repeat(`"a",`, 15<<20) + `""],"ok":true}`},
		{"an error", `{"ok":false,"x":"` + strings.Repeat("a", 60<<20) + `"}`},
		{"deep", strings.Repeat(`{"a":`, 5000) + strings.Repeat(" ", 60<<20) + "1" + strings.Repeat("}", 5000)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var packed bytes.Buffer
			w := gzip.NewWriter(&packed)
			io.WriteString(w, tt.text)
			w.Close()
			upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Content-Encoding", "gzip")
				w.Write(packed.Bytes())
			}))
			t.Cleanup(upstream.Close) // after roamproxy was killed, whose connections it would wait for
			cmd := prepare(t, upstream.URL, t.TempDir(), inFile(t, fast))
			cmd.Path = program
			if procs := controlGroup(t, container); procs != "" {
				cmd.Path, cmd.Args = "/bin/sh", append([]string{"sh", "-c", `echo $$ > "$0" && exec "$@"`, procs, program}, cmd.Args[1:]...)
			} else {
				t.Log("no control group can be made here: only the peak is checked")
			}
			r := begin(t, cmd)
			before := resident(t, r.Process.Pid)
			c := client(t)
			var all sync.WaitGroup
			for i := range answers {
				all.Go(func() {
					req, _ := http.NewRequest("GET", fmt.Sprintf("%s/v1/groups.list?page=%d", r.base, i), nil)
					req.Header.Set("Accept-Encoding", "gzip")
					res, err := c.Do(req)
					if err != nil {
						t.Error(err)
						return
					}
					n, err := io.Copy(io.Discard, res.Body)
					res.Body.Close()
					if err != nil || res.StatusCode != 200 || n != int64(packed.Len()) {
						t.Errorf("answer %d: %s with %d bytes (%v), want all %d", i, res.Status, n, err, packed.Len())
					}
				})
			}
			all.Wait()
			if took := resident(t, r.Process.Pid) - before; took > most {
				t.Errorf("ten answers used %d MiB, want at most %d", took>>20, most>>20)
			} else {
				t.Logf("ten answers of %d KB used %d MiB", packed.Len()>>10, took>>20)
			}
		})
	}
}
