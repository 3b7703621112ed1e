package credential_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"

	"roamproxy/proxy/credential"
)

// No way of printing a struct shows a secret in it.
func ExampleSecret() {
	config := struct{ Key credential.Secret }{credential.NewSecret("rmk-0123456789")}
	fmt.Printf("%v\n%+v\n", config, config)
	fmt.Println(len(config.Key.Reveal()))
	// Output:
	// {[redacted]}
	// {Key:[redacted]}
	// 14
}

// Roam repeats the credential in an error, and the tool does not see it. A request for another host is not sent.
func ExampleTransport() {
	roam := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "bad header: "+r.Header.Get("Authorization"), http.StatusBadRequest)
	}))
	defer roam.Close()
	to, _ := url.Parse(roam.URL)
	client := &http.Client{Transport: &credential.Transport{
		Next: http.DefaultTransport, Name: "org", Scheme: to.Scheme, Host: to.Host,
		Source: credential.Key{Value: credential.NewSecret("rmk-0123456789")},
	}}
	res, err := client.Get(roam.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	text := make([]byte, 64)
	n, _ := res.Body.Read(text)
	fmt.Printf("%s", text[:n])

	_, err = client.Get("http://other.example/")
	fmt.Println("sent elsewhere:", err == nil)
	// Output:
	// bad header: Bearer **************
	// sent elsewhere: false
}
