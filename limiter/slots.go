package limiter

// slots counts the calls in flight, and bounds them where Roam seems to. A burst that was refused while n other calls were in
// flight, and admitted, may have met such a bound. It is n then, and at least 2: where Roam takes one call at a time, max_in_flight
// says so. It grows by one with 200 answers. Where slots, rather than tokens, hold calls up, it grows at once: a wrong guess costs
// a few seconds.
type slots struct {
	inFlight int
	most     int  // 0: unbounded
	answers  int  // since most last changed
	guessed  bool // by the present pause
}

const (
	leastSlots  = 2
	slotAnswers = 200 // a refusal for each is 0.5 %
)

// sent reports a call that is sent. full: the bucket was full before it, so tokens were lost.
func (s *slots) sent(full bool) {
	s.inFlight++
	if full && s.most > 0 && s.inFlight >= max(s.most, leastSlots) {
		s.most, s.answers = s.inFlight+1, 0
	}
}

// ended reports the end of a call in flight.
func (s *slots) ended() { s.inFlight-- }

// answered is ended for a call that Roam admitted.
func (s *slots) answered() {
	s.inFlight--
	if s.answers++; s.most > 0 && s.answers >= slotAnswers {
		s.most, s.answers = max(s.most, leastSlots)+1, 0
	}
}

// refused reports a call, in a burst or not, whose refusal begins a pause. ended comes before it.
func (s *slots) refused(burst bool) {
	if s.guessed = burst && s.inFlight > 0; s.guessed {
		s.most, s.answers = s.inFlight, 0
	}
}

// refusedToo reports another call that was refused in that moment.
func (s *slots) refusedToo() {
	if s.guessed && s.most > 1 {
		s.most--
	}
}

// of returns the bound, where it is below most.
func (s *slots) of(most int) int {
	if s.most == 0 {
		return most
	}
	return min(most, max(s.most, leastSlots))
}
