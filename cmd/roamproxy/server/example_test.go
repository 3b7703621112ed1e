package server_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"roamproxy/cmd/roamproxy/config"
	"roamproxy/cmd/roamproxy/server"
	"roamproxy/proxy/credential"
	"roamproxy/proxy/roamtest"
)

// A program can run roamproxy in its own process, here in front of a simulated Roam.
func ExampleStart() {
	roam := roamtest.NewServer(roamtest.Options{})
	defer roam.Close()
	state, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(state)
	c := config.Default(func(string) string { return "" })
	c.Listen, c.Admin.Listen, c.Upstream.URL, c.StateDir = "127.0.0.1:0", "127.0.0.1:0", roam.URL, state
	c.Credentials[0].APIKey = credential.NewSecret(roamtest.DefaultKey)
	s, err := server.Start(c, server.NewLog(c.Log, io.Discard), nil)
	if err != nil {
		panic(err)
	}
	defer s.Stop(config.Limits{ShutdownGrace: config.Duration(time.Second)})

	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for range 2 {
		res, err := client.Get("http://" + s.Addr + "/v1/groups.list")
		if err != nil {
			panic(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		fmt.Println(res.StatusCode, res.Header.Get("Age") != "", roam.Calls())
	}
	// Output:
	// 200 false 1
	// 200 true 1
}
