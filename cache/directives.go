package cache

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// directives are those of a Cache-Control header, with names in lower case (RFC 9111, section 5.2). Of a directive that occurs twice
// the first counts (section 4.2.1).
type directives map[string]string

func parseDirectives(values []string) directives {
	if len(values) == 0 {
		return nil
	}
	d := make(directives)
	for _, value := range values {
		for value != "" {
			var name, argument string
			name, argument, value = cutDirective(value)
			if _, twice := d[name]; name != "" && !twice {
				d[name] = argument
			}
		}
	}
	return d
}

// cutDirective returns the first directive of a list and the rest of it. A comma within quotes does not end a directive.
func cutDirective(list string) (name, argument, rest string) {
	end, quoted := len(list), false
	for i := 0; i < len(list); i++ {
		switch {
		case quoted && list[i] == '\\':
			i++
		case list[i] == '"':
			quoted = !quoted
		case list[i] == ',' && !quoted:
			end = i
		}
		if end == i {
			break
		}
	}
	rest = strings.TrimPrefix(list[end:], ",")
	name, argument, _ = strings.Cut(list[:end], "=")
	return strings.ToLower(strings.TrimSpace(name)), strings.Trim(strings.TrimSpace(argument), `"`), rest
}

func (d directives) has(name string) bool { _, ok := d[name]; return ok }

// seconds returns the argument of a directive as a duration (RFC 9111, section 1.2.2). One that is no number counts as zero, which is
// stale and so the safe side.
func (d directives) seconds(name string) (time.Duration, bool) {
	value, ok := d[name]
	if !ok {
		return 0, false
	}
	return delta(value), true
}

// forever is longer than any cache lives. Two of them can be added without overflow.
const forever = math.MaxInt32 * time.Second

func delta(digits string) time.Duration {
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0
	}
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil {
		return forever
	}
	return time.Duration(n) * time.Second
}
