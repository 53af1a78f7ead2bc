package plan

import "fmt"

// Course is the whole of a rollout as far as it can be told now: each pod that
// would be given a revision, in that order, until nothing is left to do. Steps,
// windows, gates and other holds are taken to have let everything go on, and no pod
// to have failed. It is for people who review a change; Make alone decides.
func Course(in Input) []Action {
	in.Verdict, in.Rollout.Steps, in.Rollout.Protect = nil, nil, nil
	w := newWorld(in)
	var course []Action
	take := func(p Pod, to Revision, reason string) {
		course = append(course, Action{Kind: Apply, Pod: p.Name, UID: p.UID, Revision: to, Reason: reason})
	}
	given, strayed := w.astray()
	for _, p := range append(given, strayed...) {
		take(p, w.stable, fmt.Sprintf("the partition %s keeps %d of %d pods back", in.Rollout.Partition, len(w.held), len(w.pods)))
	}
	for _, p := range w.chosen {
		if !w.given(p) {
			take(p, in.Revision, w.why(p))
		}
	}
	return course
}
