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

func (s *position) isBetweenEvents() bool { return s.lineStart && !s.inEvent }

// advance moves the position past the bytes of p.
func (s *position) advance(p []byte) {
	for _, c := range p {
		if c == '\n' && s.afterCR {
			s.afterCR = false
			continue
		}
		s.afterCR = c == '\r'
		switch {
		case c == '\n' || c == '\r':
			if s.lineStart {
				s.inEvent = false
			}
			s.lineStart, s.inComment = true, false
		case s.lineStart:
			s.lineStart, s.inComment = false, c == ':'
			s.inEvent = s.inEvent || !s.inComment
		}
	}
}
