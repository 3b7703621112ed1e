package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// result is one measurement.
type result struct {
	job, program string
	figures      map[string]float64 // by the name of a measure
}

type results []result

// Measures. Times are in seconds of Roam's time.
const (
	asked     = "asked"
	sent      = "sent to Roam"
	refused   = "429s"
	took      = "seconds"
	calmWait  = "calm tool's longest wait"
	twice     = "executed twice"
	never     = "never executed"
	uncertain = "executed, but the tool got an error"
)

// newResult takes the figures of a measurement from what the tools and the upstream counted. texts are the messages of faults.
func newResult(job, program string, tools []counts, u *upstream, texts []string) result {
	u.mu.Lock()
	defer u.mu.Unlock()
	f := map[string]float64{sent: float64(u.calls), refused: float64(u.roam.Refused())}
	for _, t := range tools {
		f[asked] += float64(t.Asked)
		f[took] = max(f[took], t.Took)
	}
	switch job {
	case flood:
		f[took], f[calmWait] = tools[0].Took, tools[1].Longest
	case faults:
		for _, text := range texts {
			switch n := u.executed[text]; {
			case n > 1:
				f[twice]++
			case n == 0:
				f[never]++
			case slices.Contains(tools[0].Failed, text):
				f[uncertain]++
			}
		}
	}
	return result{job, program, f}
}

// measured returns the figures of all rounds, the least first.
func (all results) measured(job, program, measure string) (figures []float64) {
	for _, r := range all {
		if r.job == job && r.program == program {
			figures = append(figures, r.figures[measure])
		}
	}
	slices.Sort(figures)
	return figures
}

// median returns that of figures in order.
func median(figures []float64) float64 {
	n := len(figures)
	return (figures[(n-1)/2] + figures[n/2]) / 2
}

// number prints a figure in as many digits as mean something.
func number(f float64) string {
	if f < 10 {
		return strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0")
	}
	return fmt.Sprintf("%.0f", f)
}

// medianOf prints a median, or a dash if the job was not measured.
func (all results) medianOf(job, program, measure string) string {
	if f := all.measured(job, program, measure); f != nil {
		return number(median(f))
	}
	return "–"
}

// cell prints a median, with the least and the greatest figure where they differ.
func (all results) cell(job, program, measure string) string {
	f := all.measured(job, program, measure)
	text := number(median(f))
	if least, greatest := number(f[0]), number(f[len(f)-1]); least != greatest {
		text += fmt.Sprintf(" (%s–%s)", least, greatest)
	}
	return text
}

// tables prints all figures of these jobs, and names those in which roamproxy is not the best.
func (all results) tables(jobs []job) string {
	var b strings.Builder
	all.table(&b, slices.DeleteFunc(slices.Clone(jobs), func(j job) bool { return !j.isTypical() }), asked, sent, refused, took)
	for _, j := range jobs {
		switch j.name {
		case flood:
			all.table(&b, []job{j}, sent, refused, took, calmWait)
		case faults:
			all.table(&b, []job{j}, sent, refused, twice, never, uncertain, took)
		}
	}
	b.WriteString(all.losses(jobs))
	return b.String()
}

func (all results) table(b *strings.Builder, jobs []job, measures ...string) {
	if len(jobs) == 0 {
		return
	}
	header(b, append([]string{"job", "with"}, measures...)...)
	for _, j := range jobs {
		for _, p := range allPrograms() {
			if all.measured(j.name, p.name, sent) == nil {
				continue
			}
			fmt.Fprintf(b, "| %s | %s |", j.name, p.name)
			for _, m := range measures {
				fmt.Fprintf(b, " %s |", all.cell(j.name, p.name, m))
			}
			b.WriteString("\n")
		}
	}
	b.WriteString("\n")
}

// header begins a table.
func header(b *strings.Builder, columns ...string) {
	fmt.Fprintf(b, "| %s |\n|%s\n", strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
}

// losses names each measure in which another program is better than roamproxy.
func (all results) losses(jobs []job) string {
	var b strings.Builder
	for _, j := range jobs {
		for _, m := range []string{sent, refused, took, calmWait, twice, never, uncertain} { // less is better in each
			own := all.measured(j.name, roamproxy, m)
			for _, p := range allPrograms() {
				other := all.measured(j.name, p.name, m)
				if own == nil || other == nil || p.idempotent || median(other) >= median(own) {
					continue
				}
				if a, z := number(median(other)), number(median(own)); a != z {
					fmt.Fprintf(&b, "* %s, %s: %s with %s, %s with roamproxy\n", j.name, m, a, p.name, z)
				}
			}
		}
	}
	if b.Len() == 0 {
		return "No other program is better in any figure.\n"
	}
	return "Where another is better:\n\n" + b.String()
}

// summary prints the few figures that the README quotes.
func (all results) summary(o options) string {
	var b strings.Builder
	columns := slices.DeleteFunc(allPrograms(), func(p program) bool { return p.idempotent })
	title := []string{"with"}
	for _, p := range columns {
		title = append(title, p.name)
	}
	header(&b, title...)
	row := func(title string, text func(program string) string) {
		fmt.Fprintf(&b, "| %s |", title)
		for _, p := range columns {
			fmt.Fprintf(&b, " %s |", text(p.name))
		}
		b.WriteString("\n")
	}
	five := func(measure string) func(string) string {
		return func(program string) string {
			sum := 0.0
			for _, j := range allJobs() {
				if f := all.measured(j.name, program, measure); f != nil && j.isTypical() {
					sum += median(f)
				}
			}
			return number(sum)
		}
	}
	one := func(job, measure string) func(string) string {
		return func(program string) string { return all.medianOf(job, program, measure) }
	}
	withKey := func(measure string) func(string) string {
		return func(program string) string {
			text := all.medianOf(faults, program, measure)
			if program == roamproxy {
				text += "; with an `Idempotency-Key` " + all.medianOf(faults, roamproxyWithKey, measure)
			}
			return text
		}
	}
	row("five jobs: calls to Roam", five(sent))
	row("of these, answered 429", five(refused))
	row("five jobs: seconds", five(took))
	row(fmt.Sprintf("a flood of %d writes: seconds", o.flood), one(flood, took))
	row("beside it: a calm tool's longest wait, seconds", one(flood, calmWait))
	row(fmt.Sprintf("%d writes whose first answer is lost or a 502: executed twice", len(messages(o.messages))), withKey(twice))
	row("of these, never executed", withKey(never))
	return b.String()
}

// replace puts text between the two marks in a document.
func replace(path, text string) error {
	document, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	const begin, end = "<!-- compare -->\n", "<!-- /compare -->\n"
	before, rest, begun := strings.Cut(string(document), begin)
	_, after, ended := strings.Cut(rest, end)
	if !begun || !ended {
		return fmt.Errorf("%s: want the lines %q and %q around the tables", path, begin, end)
	}
	return os.WriteFile(path, []byte(before+begin+text+end+after), 0o644)
}
