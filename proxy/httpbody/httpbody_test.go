package httpbody_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"roamproxy/proxy/httpbody"
)

// A step looks at the beginning of a body, and the next step reads the whole of it.
func ExampleUnread() {
	body := io.NopCloser(strings.NewReader(`{"ok":false,"error":"invalid_token"}`))
	start, err := io.ReadAll(io.LimitReader(body, 11))
	body = httpbody.Unread(start, body, err)

	whole, _ := io.ReadAll(body)
	fmt.Printf("%s\n%s\n", start, whole)
	// Output:
	// {"ok":false
	// {"ok":false,"error":"invalid_token"}
}

// closer counts how often it is closed.
type closer struct {
	io.Reader
	closed int
}

func (c *closer) Close() error { c.closed++; return nil }

func TestUnread(t *testing.T) {
	broken := errors.New("the connection broke")
	for _, tt := range []struct {
		name, start, rest string
		err               error
		want              string
		wantErr           error
	}{
		{"the step read a part", "abc", "def", nil, "abcdef", nil},
		{"the step read nothing", "", "def", nil, "def", nil},
		{"the body broke while the step read", "abc", "def", broken, "abc", broken},
		{"the step read the whole", "abc", "", io.EOF, "abc", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rest := &closer{Reader: strings.NewReader(tt.rest)}
			body := httpbody.Unread([]byte(tt.start), rest, tt.err)
			got, err := io.ReadAll(body)
			if string(got) != tt.want || err != tt.wantErr {
				t.Errorf("read %q and %v, want %q and %v", got, err, tt.want, tt.wantErr)
			}
			if body.Close(); rest.closed != 1 {
				t.Errorf("the rest was closed %d times, want once", rest.closed)
			}
		})
	}
}

func TestClose(t *testing.T) {
	httpbody.Close(&http.Request{}) // must not panic
	body := &closer{Reader: strings.NewReader("")}
	if httpbody.Close(&http.Request{Body: body}); body.closed != 1 {
		t.Errorf("the body was closed %d times, want once", body.closed)
	}
}
