package eventstream

// position is the position of a writer within the lines and events of a stream. A line ends in LF, CR or CRLF, and an empty line ends an
// event. A line that begins with a colon is a comment, and part of no event (HTML standard, section 9.2.6).
type position struct {
	lineStart bool // no byte of the line was written
	inComment bool // the line is a comment
	inEvent   bool // a line of an event was written, but not its end
	afterCR   bool // a following LF is part of the last line's end
}

func newPosition() position { return position{lineStart: true} }

func (p *position) isBetweenEvents() bool { return p.lineStart && !p.inEvent }

// advance moves the position past a piece.
func (p *position) advance(piece []byte) {
	for _, c := range piece {
		if c == '\n' && p.afterCR {
			p.afterCR = false
			continue
		}
		p.afterCR = c == '\r'
		switch {
		case c == '\n' || c == '\r':
			if p.lineStart {
				p.inEvent = false
			}
			p.lineStart, p.inComment = true, false
		case p.lineStart:
			p.lineStart, p.inComment = false, c == ':'
			p.inEvent = p.inEvent || !p.inComment
		}
	}
}
