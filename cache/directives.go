package cache

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// directives are those of a Cache-Control field, names in lower case (RFC 9111, section 5.2). Of one that is there twice the
// first counts (section 4.2.1).
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

// cutDirective takes the first of a list. A comma within quotes does not end it.
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

// seconds reads a delta (RFC 9111, section 1.2.2). One that cannot be read counts as zero: stale, to be safe. One that is too
// large to be held counts as for ever.
func (d directives) seconds(name string) (time.Duration, bool) {
	value, ok := d[name]
	if !ok {
		return 0, false
	}
	return delta(value), true
}

// forever is longer than any cache lives, and can be added to without overflow.
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
