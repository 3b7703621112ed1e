package e2e

import (
	"strings"
	"testing"

	"roamproxy/cmd/roamproxy/e2e/faultnet"
)

// Answers that break HTTP, or that two readers could understand in two ways.
//
// Seen to fail with answers of a status below 200 passed on (a slot that is never free again).
func TestMalformedAnswersOfRoam(t *testing.T) {
	p := newFaultHarness(t, nil)
	answer := func(raw string) faultnet.Fault { return p.behind.AfterTaking(faultnet.Say(raw)) }
	reply := func(header ...string) faultnet.Fault { return answer(faultnet.Reply(header...)) }
	endless := func(raw, again string) faultnet.Fault { return p.behind.AfterTaking(faultnet.Repeat(raw, again)) }
	p.expectAll([]upstreamFault{
		{"both a length and chunks", reply("Content-Length: 11", "Transfer-Encoding: chunked"), write, "200 cut or nothing", 1, 0},
		{"two lengths", reply("Content-Length: 11", "Content-Length: 5"), write, "502 perhaps sent", 1, 0},
		{"two equal lengths", reply("Content-Length: 11", "Content-Length: 11"), write, "200", 1, 0},
		{"a negative length", reply("Content-Length: -1"), write, "502 perhaps sent", 1, 0},
		{"a length with a sign", reply("Content-Length: +11"), write, "502 perhaps sent", 1, 0},
		{"no length at all", reply("Connection: close"), write, "200", 1, 0},
		{"an unknown coding", reply("Transfer-Encoding: xchunked"), write, "502 perhaps sent", 1, 0},
		{"a body that is not in chunks", reply("Transfer-Encoding: chunked"), read, "502 perhaps sent", 1, 0},
		{"chunks with a trailer", answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: " +
			"Authorization\r\n\r\nb\r\n{\"ok\":true}\r\n0\r\nAuthorization: x\r\n\r\n"), write, "200", 1, 0},
		{"chunks without an end", answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n{\"ok\":true}\r\n"), read,
			"502 perhaps sent", 1, 0},
		{"a header of a megabyte", reply("X: " + strings.Repeat("x", 1<<20)), read, "502 perhaps sent", 1, 0},
		{"fields without end", endless("HTTP/1.1 200 OK\r\n", "X: y\r\n"), read, "502 perhaps sent", 1, 0},
		{"a NUL in a field", reply("X: a\x00b"), write, "502 perhaps sent", 1, 0},
		{"a field over two lines", reply("X: a\r\n b", "Content-Length: 11"), write, "200", 1, 0},
		{"lines that end in LF", answer(strings.ReplaceAll(faultnet.Reply("Content-Length: 11"), "\r", "")), write, "200", 1, 0},
		{"another protocol", answer("220 mail.example ESMTP\r\n"), write, "502 perhaps sent", 1, 0},
		{"a status of four digits", answer("HTTP/1.1 2000 OK\r\n\r\n"), write, "502 perhaps sent", 1, 0},
		{"status zero", answer("HTTP/1.1 000 Nothing\r\nContent-Length: 0\r\n\r\n"), write, "502 perhaps sent", 1, 0},
		{"early hints", answer("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + faultnet.Reply("Content-Length: 11")), write, "200", 1, 0},
		{"interim answers without end", endless("", "HTTP/1.1 102 Processing\r\n\r\n"), write, "504 perhaps sent", 1, 0},
		{"interim answers to a read, without end", endless("", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"), read, "504 perhaps sent", 1, 0},
		{"a switch of protocols that was not asked for", answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: " +
			"Upgrade\r\n\r\n"), write, "502 perhaps sent", 1, 0},
		{"204 with a body", answer("HTTP/1.1 204 No Content\r\nContent-Length: 11\r\n\r\n{\"ok\":true}"), write, "204", 1, 0},
		{"a body after a HEAD", reply("Content-Length: 11"), "HEAD /v1/user.list?limit=100", "200", 1, 0},
		{"a body that is not in its encoding", reply("Content-Length: 11", "Content-Encoding: gzip"), write, "200", 1, 0},
		{"a list of 20 MB", answer("HTTP/1.1 200 OK\r\nContent-Length: 20971520\r\n\r\n" + strings.Repeat("x", 20<<20)), read, "200", 1, 0},
		{"a body without end", endless("HTTP/1.1 200 OK\r\n\r\n", strings.Repeat("x", 1<<16)), write, "200 endless", 1, 0},
		{"a list without end", endless("HTTP/1.1 200 OK\r\n\r\n", strings.Repeat("x", 1<<16)), read, "200 endless", 1, 0},
	})
}
