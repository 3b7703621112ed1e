package peer_test

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"roamproxy/proxy/peer"
)

// A handler looks up which program calls. In this example that is the server's own process, which has no name. On systems other than Linux
// no program has one.
func Example() {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		program := peer.Of(r.Context())
		fmt.Fprintln(w, "called by", cmp.Or(program.Name, "an unknown program"))
	}))
	peer.NewFinder().Attach(server.Config)
	server.Start()
	defer server.Close()
	res, err := http.Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	fmt.Print(string(text))
	// Output:
	// called by an unknown program
}
