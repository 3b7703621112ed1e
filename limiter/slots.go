package limiter

// slots bounds the calls in flight where Roam seems to. A burst that was refused while n other calls were in
// flight, and admitted, may have met such a bound. It is n then, and at least 2: where Roam takes one call at a time, max_in_flight
// says so. It grows by one with 200 answers. Where slots, rather than tokens, hold calls up, it grows at once: a wrong guess costs
// a few seconds.
type slots struct {
	most    int  // 0: unbounded
	answers int  // since most last changed
	guessed bool // by the present pause
}

const (
	leastSlots  = 2
	slotAnswers = 200 // a refusal for each is 0.5 %
)

// sent reports a call that is sent, so that so many are in flight. full: the bucket was full before it, and tokens were lost.
func (s *slots) sent(full bool, inFlight int) {
	if full && s.most > 0 && inFlight >= max(s.most, leastSlots) {
		s.most, s.answers = inFlight+1, 0
	}
}

// answered reports a call that Roam admitted.
func (s *slots) answered() {
	if s.answers++; s.most > 0 && s.answers >= slotAnswers {
		s.most, s.answers = max(s.most, leastSlots)+1, 0
	}
}

// refused reports a call whose refusal begins a pause, and how many others are in flight. soon: it was sent in a burst.
func (s *slots) refused(soon bool, inFlight int) {
	if s.guessed = soon && inFlight > 0; s.guessed {
		s.most, s.answers = inFlight, 0
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
