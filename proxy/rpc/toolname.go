package rpc

import (
	"slices"
	"strings"
	"unicode"
)

// IsRead reports whether a tool only reads, judged by its name. It returns false in doubt.
func IsRead(name string) bool {
	all := Words(name)
	if len(all) == 0 || slices.Contains(all, "and") || slices.Contains(all, "or") { // get_or_create
		return false
	}
	return isReadVerb(all[0]) || isReadVerb(all[len(all)-1])
}

// isReadVerb reports whether a word at the beginning or end of a tool's name means that the tool changes nothing, as in meeting_search.
func isReadVerb(word string) bool {
	switch word {
	case "search", "info", "list", "get", "read", "find", "fetch", "lookup", "resolve", "query", "describe", "history", "transcript", "prompt",
		"export", "count", "show", "view":
		return true
	}
	return false
}

// Words returns the words of a name in lower case: meeting and search for meeting_search, meeting.search, meeting-search and meetingSearch.
func Words(name string) []string {
	var spaced strings.Builder
	before := ' '
	for _, c := range name {
		if unicode.IsUpper(c) && unicode.IsLower(before) {
			spaced.WriteRune(' ')
		}
		if !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			c = ' '
		}
		spaced.WriteRune(unicode.ToLower(c))
		before = c
	}
	return strings.Fields(spaced.String())
}
