package status

import (
	"fmt"
	"slices"
)

// chart is the last ten minutes of one quota, in a coordinate system of 600 by 100. A horizontal unit is a second. Bars are five seconds
// wide and begin at multiples of five seconds, so that they move to the left and do not flicker.
type chart struct {
	Sent, Waiting, Refused           []bar
	Paused, Throttled                []bar
	MostSent, MostWaits, MostRefused int
	Summary                          string
}

type bar struct{ X, Y, W, H float64 }

const (
	binWidth    = 5 // seconds
	bins        = maxSamples / binWidth
	fieldHeight = 100
	maxBar      = 84 // of a bar; the scale is above
)

func draw(history []Sample, now int64) (p chart) {
	first := now - now%binWidth - maxSamples + binWidth
	sent, waiting, refused := make([]int, bins), make([]int, bins), make([]int, bins)
	total, throttled, refusals, paused := 0, 0, 0, 0
	var pause *bar
	for _, s := range history {
		if s.At < first || s.At >= first+maxSamples {
			continue
		}
		x := float64(s.At - first)
		bin := int(s.At-first) / binWidth
		sent[bin] += s.Sent
		waiting[bin] = max(waiting[bin], s.Waiting)
		refused[bin] += s.Refused
		total, throttled, refusals = total+s.Sent, throttled+s.Throttled, refusals+s.Refused
		p.MostWaits = max(p.MostWaits, s.Waiting)
		if s.Throttled > 0 {
			p.Throttled = append(p.Throttled, bar{X: x, W: 2, H: fieldHeight})
		}
		switch {
		case (s.Paused || s.Held) && pause != nil && pause.X+pause.W == x:
			pause.W++
			paused++
		case s.Paused || s.Held:
			p.Paused = append(p.Paused, bar{X: x, W: 1, H: fieldHeight})
			pause = &p.Paused[len(p.Paused)-1]
			paused++
		}
	}
	p.MostSent, p.MostRefused = slices.Max(sent), slices.Max(refused)
	p.Sent, p.Waiting, p.Refused = bars(sent, p.MostSent), bars(waiting, p.MostWaits), bars(refused, p.MostRefused)
	p.Summary = fmt.Sprintf("The last ten minutes: %d calls sent, at most %d waiting at once, %d refused by roamproxy, "+
		"%d answered 429 by Roam, paused for %d seconds.", total, p.MostWaits, refusals, throttled, paused)
	return p
}

// bars returns a bar for each value above zero.
func bars(values []int, most int) (all []bar) {
	for i, v := range values {
		if v > 0 {
			h := max(maxBar*float64(v)/float64(most), 2) // a small value stays visible
			all = append(all, bar{X: float64(i * binWidth), Y: fieldHeight - h, W: binWidth - 1, H: h})
		}
	}
	return all
}
