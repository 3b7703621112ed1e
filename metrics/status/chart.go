package status

import "fmt"

// chart is the last ten minutes of one quota, drawn in a field of 600 by 100: a unit is a second. Bars are five seconds wide
// and stand on multiples of five, so that they wander to the left and do not flicker.
type chart struct {
	Sent, Waiting       []bar
	Paused, Throttled   []bar
	MostSent, MostWaits int
	Summary             string
}

type bar struct{ X, Y, W, H float64 }

const (
	binWidth = 5 // seconds
	field    = 100
	highest  = 84 // of a bar; above it is the scale
)

func draw(history []Sample, now int64) (p chart) {
	first := now - now%binWidth - maxSamples + binWidth
	sent, waiting := make([]int, maxSamples/binWidth), make([]int, maxSamples/binWidth)
	total, refused, paused := 0, 0, 0
	var pause *bar
	for _, s := range history {
		if s.At < first || s.At >= first+maxSamples {
			continue
		}
		x := float64(s.At - first)
		bin := int(s.At-first) / binWidth
		sent[bin] += s.Sent
		waiting[bin] = max(waiting[bin], s.Waiting)
		total, refused, p.MostWaits = total+s.Sent, refused+s.Throttled, max(p.MostWaits, s.Waiting)
		if s.Throttled > 0 {
			p.Throttled = append(p.Throttled, bar{X: x, W: 2, H: field})
		}
		switch {
		case s.Paused && pause != nil && pause.X+pause.W == x:
			pause.W++
			paused++
		case s.Paused:
			p.Paused = append(p.Paused, bar{X: x, W: 1, H: field})
			pause = &p.Paused[len(p.Paused)-1]
			paused++
		}
	}
	for _, n := range sent {
		p.MostSent = max(p.MostSent, n)
	}
	p.Sent, p.Waiting = bars(sent, p.MostSent), bars(waiting, p.MostWaits)
	p.Summary = fmt.Sprintf("The last ten minutes: %d calls sent, at most %d waiting at once, paused for %d seconds, %d times 429.", total, p.MostWaits, paused, refused)
	return p
}

// bars stand on the ground; those of nothing are left out.
func bars(values []int, most int) (all []bar) {
	for i, v := range values {
		if v > 0 {
			h := max(highest*float64(v)/float64(most), 2) // one of many is to be seen, too
			all = append(all, bar{X: float64(i * binWidth), Y: field - h, W: binWidth - 1, H: h})
		}
	}
	return all
}
