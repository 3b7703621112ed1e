package eventstream

// position is where in a stream its writer is. Lines end in LF, CR or CRLF; an empty line ends an event; a line that begins with a
// colon is a comment and belongs to none (HTML standard, section 9.2.6).
type position struct {
	lineStart bool // no byte of the line was written
	inComment bool // the line is a comment
	inEvent   bool // a line of an event was written, and its end was not
	afterCR   bool // an LF that comes next belongs to the end of the last line
}

func newPosition() position { return position{lineStart: true} }

func (s *position) isBetweenEvents() bool { return s.lineStart && !s.inEvent }

// advance goes on by some bytes.
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
