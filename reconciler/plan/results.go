package plan

import (
	"slices"

	"hotpatch.dev/hotpatch/api"
)

// over: measured to its end, with a result that is recorded.
func (j Judged) over() bool { return j.State == GateSuccessful || j.State == GateFailed }

// divide tells gates that are to be measured from those that are over; nil if none
// is. Of a gate that says nothing there is nothing to record.
func (w *world) divide(gates []Gate) (open []Gate, over *api.GateResults) {
	if len(gates) == 0 {
		return nil, nil
	}
	results := api.GateResults{For: w.asked(), Failed: map[string]string{}}
	for _, g := range gates {
		switch j := w.in.Gates[g.Key()]; {
		case !j.over():
			open = append(open, g)
		case j.State == GateSuccessful:
			results.Passed = append(results.Passed, g.ID())
		default:
			results.Failed[g.ID()] = j.Reason
		}
	}
	if len(results.Passed)+len(results.Failed) == 0 {
		return open, nil
	}
	slices.Sort(results.Passed)
	return open, &results
}

// Recorded is what came of gates, by their keys, as the results of a plan have it.
func Recorded(r *api.GateResults) map[string]Judged {
	if r == nil {
		return nil
	}
	gates := map[string]Judged{}
	for _, id := range r.Passed {
		gates[id+" "+r.For] = Judged{State: GateSuccessful}
	}
	for id, reason := range r.Failed {
		gates[id+" "+r.For] = Judged{GateFailed, reason}
	}
	return gates
}
