package plan

import "fmt"

// fewAlike is up to how many findings of one kind are shown one by one.
const fewAlike = 3

// groups are the kinds of findings of which there may be hundreds on an ordinary day, with a sentence for all of them and where they are
// listed.
var groups = map[Reason]struct{ sentence, next string }{
	UndecidedEnd: {"%d terms end soon and nobody has said what follows", "trueup renewals --undecided lists them with the price of silence"},
	UnusedSeats:  {"%d subscriptions have seats that are paid for and not in use", "trueup report unused lists them with the day on which lowering saves"},
}

// Grouped says n findings of one kind in one sentence, and where they are listed; ok is false when they are shown one by one.
func Grouped(kind Reason, n int) (title, next string, ok bool) {
	g, known := groups[kind]
	if !known || n <= fewAlike {
		return "", "", false
	}
	return fmt.Sprintf(g.sentence, n), g.next, true
}

// alike groups findings for people: what is shown one by one, in order, and the kinds of which only the number is shown, in the place of their
// first.
func alike(findings []Finding) (shown []Finding) {
	count := map[Reason]int{}
	for _, f := range findings {
		count[f.Kind]++
	}
	said := map[Reason]bool{}
	for _, f := range findings {
		title, next, group := Grouped(f.Kind, count[f.Kind])
		switch {
		case !group:
			shown = append(shown, f)
		case !said[f.Kind]:
			said[f.Kind] = true
			shown = append(shown, Finding{Kind: f.Kind, Title: title, Detail: "--all shows each", Next: next})
		}
	}
	return shown
}
