package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Step is one stage of the way to Rollout.Partition. Exactly one of its fields
// is given.
type Step struct {
	// Partition is how many pods stay on the stable revision as of this step. It is
	// passed when all others were seen on the new one. No step takes a pod back.
	Partition IntOrPercent `json:"partition,omitzero"`
	// Pause waits for a person, or for its duration to pass.
	Pause *Pause `json:"pause,omitempty"`
	// Analysis is taken when the rollout comes to this step, which is passed when it
	// has succeeded. What fails ends the rollout as OnFailure says.
	Analysis *Analysis `json:"analysis,omitempty"`
}

// kinds is how many of a step's fields are given.
func (s Step) kinds() (n int) {
	for _, given := range []bool{s.Partition.Set, s.Pause != nil, s.Analysis != nil} {
		if given {
			n++
		}
	}
	return n
}

// Pause is a rest between two steps.
type Pause struct {
	// Duration after which the rollout goes on by itself, such as 10m: a second to
	// a week. Without one it waits for `hotpatch promote`.
	Duration string `json:"duration,omitempty"`
}

// Lasts is the pause's duration; 0 if it waits for a person.
func (p Pause) Lasts() time.Duration {
	d, _ := time.ParseDuration(p.Duration) // Validate has refused what it cannot read
	return d
}

// Limits of a pause that ends by itself.
const (
	minPause = time.Second
	maxPause = 7 * 24 * time.Hour
)

// StepsID names the steps of a way; the same steps give the same ten hex digits.
func StepsID(steps []Step) string {
	if len(steps) == 0 {
		return ""
	}
	b, _ := json.Marshal(steps) // plain structs: cannot fail
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:5])
}

// PromoteAnnotation on a HotPatch holds a Promotion: with it a person lets a
// rollout go on. It is no part of the revision.
const PromoteAnnotation = Group + "/promote"

// Promotion lets one revision go past its pauses, and no other: it may stay in
// Git. The zero value lets nothing go.
type Promotion struct {
	Revision string
	Step     int  // the last step whose pause is over, from 1
	Full     bool // all pauses are
}

const fullPromotion = "full"

// String is how a Promotion stands in Git: "15c15eb634@2" or "15c15eb634@full".
func (p Promotion) String() string {
	if p.Full {
		return p.Revision + "@" + fullPromotion
	}
	return p.Revision + "@" + strconv.Itoa(p.Step)
}

// Covers tells whether a revision need not wait at a step.
func (p Promotion) Covers(revision string, step int) bool {
	return p.Revision == revision && (p.Full || step <= p.Step)
}

// Promotion is what the HotPatch's annotation says; zero if it has none, or an
// empty one.
func (h HotPatch) Promotion() (Promotion, error) {
	text := h.Metadata.Annotations[PromoteAnnotation]
	if text == "" {
		return Promotion{}, nil
	}
	revision, step, _ := strings.Cut(text, "@")
	p := Promotion{Revision: revision, Full: step == fullPromotion}
	var err error
	if !p.Full {
		p.Step, err = strconv.Atoi(step)
	}
	if err != nil || !revisionPattern.MatchString(revision) || !p.Full && p.Step < 1 {
		return Promotion{}, fmt.Errorf("want REVISION@STEP such as 15c15eb634@2, or REVISION@full, got %q; hotpatch promote writes it", text)
	}
	return p, nil
}

// steps checks each step, and that none holds more pods than one before it: on
// the way pods only ever go on.
func (v *validation) steps(r Rollout) {
	var last IntOrPercent
	for i, s := range r.Steps {
		field := fmt.Sprintf("spec.rollout.steps[%d]", i)
		v.check(s.kinds() == 1, field, "give one of partition, pause and analysis")
		if s.Partition.Set {
			v.share(fmt.Sprintf("steps[%d].partition", i), s.Partition)
			v.check(!s.Partition.above(last), field+".partition", "%s would hold more pods than the %s of an earlier step; steps only let more pods go", s.Partition, last)
			v.check(!r.Partition.above(s.Partition), field+".partition", "%s would hold fewer pods than the rollout's partition %s, which holds to the end", s.Partition, r.Partition)
			last = s.Partition
		}
		if s.Pause != nil && s.Pause.Duration != "" {
			d, err := time.ParseDuration(s.Pause.Duration)
			v.check(err == nil && minPause <= d && d <= maxPause, field+".pause.duration", "want 1s to 168h, such as 10m; leave it out to wait for a person; got %q", s.Pause.Duration)
		}
		if s.Analysis != nil {
			v.step(field+".analysis", *s.Analysis)
		}
	}
}

// above tells whether v holds more than other, of those that can be compared
// without knowing how many pods there are.
func (v IntOrPercent) above(other IntOrPercent) bool {
	return v.wrong == "" && other.wrong == "" && other.Set && v.Percent == other.Percent && v.Value > other.Value
}
