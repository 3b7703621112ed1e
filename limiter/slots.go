package limiter

// slots bounds the calls in flight where Roam seems to. A burst that was refused while n other calls were in flight, and let
// through, may have met such a bound. It is n then, and at least 2: whoever knows that Roam takes one call at a time configures
// max_in_flight. It grows by one with 200 answers, and at once where slots, rather than tokens, hold calls up: a wrong guess costs
// a few seconds. Zero: unbounded.
type slots struct {
	most    int
	answers int  // since it last changed
	guessed bool // by the present pause
}

const (
	leastSlots  = 2
	slotAnswers = 200 // a refusal for each is 0.5 %
)

// refused reports a refusal that begins a pause, of a call in a burst or not, with so many others in flight.
func (s *slots) refused(burst bool, others int) {
	if s.guessed = burst && others > 0; s.guessed {
		s.most, s.answers = others, 0
	}
}

// refusedToo reports that one of those others was refused as well.
func (s *slots) refusedToo() {
	if s.guessed && s.most > 1 {
		s.most--
	}
}

func (s *slots) answered() {
	if s.answers++; s.most > 0 && s.answers >= slotAnswers {
		s.most, s.answers = max(s.most, leastSlots)+1, 0
	}
}

// starve reports that tokens are lost while so many calls are in flight.
func (s *slots) starve(inFlight int) {
	if s.most > 0 && inFlight >= max(s.most, leastSlots) {
		s.most, s.answers = inFlight+1, 0
	}
}

// of returns the bound, where it is below most.
func (s *slots) of(most int) int {
	if s.most == 0 {
		return most
	}
	return min(most, max(s.most, leastSlots))
}
