package gates

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/plan"
)

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// Outcomes one after the other: + good, - bad, ? unclear.
func TestHowAnAnalysisStands(t *testing.T) {
	for _, c := range []struct {
		analysis api.Analysis
		outcomes string
		want     plan.GateState
		reason   string
	}{
		{api.Analysis{}, "", plan.GateRunning, ""},
		{api.Analysis{}, "+", plan.GateSuccessful, ""},
		{api.Analysis{}, "-", plan.GateFailed, "bad"},
		{api.Analysis{}, "?", plan.GateInconclusive, "unclear"},
		{api.Analysis{Count: 3}, "++", plan.GateRunning, ""},
		{api.Analysis{Count: 3}, "+++", plan.GateSuccessful, ""},
		{api.Analysis{Count: 3}, "-", plan.GateFailed, "bad"},
		{api.Analysis{Count: 3, FailureLimit: 1}, "-", plan.GateRunning, ""},
		{api.Analysis{Count: 3, FailureLimit: 1}, "-++", plan.GateSuccessful, ""},
		{api.Analysis{Count: 3, FailureLimit: 1}, "-+-", plan.GateFailed, "2 measurements, the last: bad"},
		{api.Analysis{Count: 3, InconclusiveLimit: 2}, "??+", plan.GateSuccessful, ""},
		{api.Analysis{Count: 5, InconclusiveLimit: 2}, "???", plan.GateInconclusive, "3 measurements, the last: unclear"},
		{api.Analysis{Count: 5, FailureLimit: 1, InconclusiveLimit: 1}, "?-?", plan.GateInconclusive, "2 measurements, the last: unclear"},
	} {
		var r Run
		for i, o := range c.outcomes {
			m := map[rune]Measured{'+': {Good, ""}, '-': {Bad, "bad"}, '?': {Unclear, "unclear"}}[o]
			r = r.After(m, noon.Add(time.Duration(i)*time.Minute))
		}
		if got, _ := r.Stands(c.analysis); got.State != c.want || got.Reason != c.reason {
			t.Errorf("%+v after %q: %+v, want %s %q", c.analysis, c.outcomes, got, c.want, c.reason)
		}
	}
}

func TestNextMeasurementIsAnIntervalAfterTheEndOfTheLast(t *testing.T) {
	a := api.Analysis{Count: 2, Interval: "30s"}
	if _, due := (Run{}).Stands(a); !due.IsZero() {
		t.Errorf("the first is due at %s", due)
	}
	if _, due := (Run{}).After(Measured{}, noon).Stands(a); due != noon.Add(30*time.Second) {
		t.Errorf("the second is due at %s", due)
	}
}

// Whatever is measured, an analysis ends after at most count measurements, and what
// ended it stays so.
func TestAnalysisEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.IntRange(1, 20).Draw(t, "count")
		a := api.Analysis{Count: count, FailureLimit: rapid.IntRange(0, count-1).Draw(t, "failures"), InconclusiveLimit: rapid.IntRange(0, count-1).Draw(t, "unclear")}
		var r Run
		bad, unclear := 0, 0
		for i := 0; ; i++ {
			stands, due := r.Stands(a)
			want := plan.GateRunning
			switch {
			case bad > a.FailureLimit:
				want = plan.GateFailed
			case unclear > a.InconclusiveLimit:
				want = plan.GateInconclusive
			case i == count:
				want = plan.GateSuccessful
			}
			if stands.State != want || i > count {
				t.Fatalf("%+v after %d, %d bad, %d unclear: %s, want %s", a, i, bad, unclear, stands.State, want)
			}
			if want != plan.GateRunning {
				return
			}
			if i > 0 && due != noon.Add(a.Every()) {
				t.Fatalf("due at %s", due)
			}
			o := rapid.SampledFrom([]Outcome{Good, Bad, Unclear}).Draw(t, "outcome")
			if o == Bad {
				bad++
			}
			if o == Unclear {
				unclear++
			}
			r = r.After(Measured{o, "why"}, noon)
		}
	})
}
