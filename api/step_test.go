package api

import "testing"

// What is written can be read, and lets go what it names and nothing else.
func TestPromotion(t *testing.T) {
	for text, covers := range map[string][]bool{
		"15c15eb634@2":    {true, true, false},
		"15c15eb634@full": {true, true, true},
		"521f366519@full": {false, false, false},
		"":                {false, false, false},
	} {
		h := HotPatch{Metadata: Metadata{Annotations: map[string]string{PromoteAnnotation: text}}}
		p, err := h.Promotion()
		if err != nil || text != "" && p.String() != text {
			t.Fatalf("%q is read as %q, %v", text, p, err)
		}
		for i, want := range covers {
			if p.Covers("15c15eb634", i+1) != want {
				t.Errorf("%q lets it pass step %d: %t", text, i+1, !want)
			}
		}
	}
}

// The record names what was passed: an edit must show, a new field must not.
func TestStepsID(t *testing.T) {
	way := []Step{{Partition: Percent(75)}, {Pause: &Pause{}}, {Partition: Count(3)}, {Pause: &Pause{Duration: "10m"}}}
	if id := StepsID(way); id != "b70d6504a9" {
		t.Errorf("these steps are named %s now: every rollout under way would begin again", id)
	}
	seen := map[string]bool{}
	for i := range len(way) + 1 {
		seen[StepsID(way[:i])] = true
	}
	if way[1].Pause.Duration = "1m"; seen[StepsID(way[:2])] {
		t.Error("an edited pause does not show")
	}
	if len(seen) != 5 || !seen[""] {
		t.Errorf("names %v", seen)
	}
}
