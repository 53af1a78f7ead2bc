// Package gates judges analyses: a state machine that says from the measurements
// so far how an analysis stands and when to measure next, and the taking of the
// measurements.
//
// The machine is pure. A measurement promises to end in time, to read no more than
// a limit, and to say in words, without what was read, why it is not good.
package gates

import (
	"fmt"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/plan"
)

// Outcome of one measurement.
type Outcome int

// The outcomes. Unclear is what says nothing: it could not be taken, or no
// condition holds.
const (
	Good Outcome = iota
	Bad
	Unclear
)

// String names it as metrics do.
func (o Outcome) String() string { return [...]string{"good", "bad", "unclear"}[o] }

// Measured is one measurement; Why is "" if it is good.
type Measured struct {
	Outcome Outcome
	Why     string
}

// Run is how far an analysis is. The zero value has not begun.
type Run struct {
	good, bad, unclear int
	last               time.Time // when the last measurement ended
	why                string    // of the last one that was not good
}

// After is the run with one more measurement, that ended at a time.
func (r Run) After(m Measured, at time.Time) Run {
	switch m.Outcome {
	case Good:
		r.good++
	case Bad:
		r.bad++
	case Unclear:
		r.unclear++
	}
	if m.Outcome != Good {
		r.why = m.Why
	}
	r.last = at
	return r
}

// Stands is how the analysis stands, and when to measure next while it is running;
// the zero time means now. Too many bad measurements fail it at once, as no later one
// could mend that; too many that say nothing leave it to a person.
func (r Run) Stands(a api.Analysis) (plan.Judged, time.Time) {
	switch {
	case r.bad > a.FailureLimit:
		return plan.Judged{State: plan.GateFailed, Reason: r.reason(r.bad, a.FailureLimit)}, time.Time{}
	case r.unclear > a.InconclusiveLimit:
		return plan.Judged{State: plan.GateInconclusive, Reason: r.reason(r.unclear, a.InconclusiveLimit)}, time.Time{}
	case r.good+r.bad+r.unclear >= a.Takes():
		return plan.Judged{State: plan.GateSuccessful}, time.Time{}
	case r.last.IsZero():
		return plan.Judged{State: plan.GateRunning}, time.Time{}
	}
	return plan.Judged{State: plan.GateRunning}, r.last.Add(a.Every())
}

// reason counts only where more than one was allowed.
func (r Run) reason(n, limit int) string {
	if limit == 0 {
		return r.why
	}
	return fmt.Sprintf("%d measurements, the last: %s", n, r.why)
}
