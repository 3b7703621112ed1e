// Command floor shows what net/http alone takes for a hit: it asks roamproxy for each path once, and then answers with the same header
// fields and the same body, and does nothing else. No server on net/http that sends as many fields can take less.
//
//	floor ADDR ROAMPROXY TOKEN PATH...
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"time"
)

func main() {
	if err := serve(os.Args[1], os.Args[2], os.Args[3], os.Args[4:]); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

// answer is what roamproxy answered to one path.
type answer struct {
	header http.Header
	body   []byte
}

// serve answers on addr with what the roamproxy at base answers to the paths.
func serve(addr, base, token string, paths []string) error {
	answers := make(map[string]answer)
	for _, path := range paths {
		a, err := fetch(base+path, token)
		if err != nil {
			return err
		}
		answers[path] = a
	}
	debug.SetGCPercent(200) // as roamproxy does
	s := &http.Server{Addr: addr, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, header := answers[r.URL.Path], w.Header()
		for name, values := range a.header {
			header[name] = values
		}
		w.Write(a.body)
	})
	return s.ListenAndServe()
}

// fetch asks as wrk does: another Accept or Accept-Encoding would be another entry.
func fetch(url, token string) (answer, error) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	client := http.Client{Transport: &http.Transport{DisableCompression: true}, Timeout: 10 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s", url, res.Status)
	}
	return answer{res.Header, body}, err
}
