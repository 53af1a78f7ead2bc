package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"pgregory.net/rapid"

	"hotpatch.dev/hotpatch/api"
)

// parseSteps reads "partition=75% pause pause=10m".
func parseSteps(words []string) (steps []api.Step, err error) {
	for _, word := range words {
		var s api.Step
		switch kind, value, _ := strings.Cut(word, "="); kind {
		case "partition":
			if strings.HasSuffix(value, "%") {
				value = strconv.Quote(value)
			}
			err = s.Partition.UnmarshalJSON([]byte(value))
		case "pause":
			s.Pause = &api.Pause{Duration: value}
		case "analysis":
			s.Analysis = &api.Analysis{Name: value}
		case "none":
			continue
		default:
			err = fmt.Errorf("there is no step %s", kind)
		}
		if steps = append(steps, s); err != nil {
			return nil, err
		}
	}
	return steps, nil
}

func (c *cluster) promote(args []string) (err error) {
	revision, step, _ := strings.Cut(args[0], "@")
	c.promotion = api.Promotion{Revision: revision, Full: step == "full"}
	if !c.promotion.Full {
		c.promotion.Step, err = strconv.Atoi(step)
	}
	return err
}

func anySteps(t *rapid.T) (steps []api.Step) {
	partition := rapid.SampledFrom([]api.IntOrPercent{api.Count(0), api.Count(1), api.Count(3), api.Percent(25), api.Percent(50), api.Percent(75), api.Percent(100)})
	for range rapid.SampledFrom([]int{0, 0, 0, 1, 2, 3, 5}).Draw(t, "steps") {
		switch rapid.IntRange(0, 4).Draw(t, "kind") {
		case 4:
			steps = append(steps, api.Step{Analysis: &api.Analysis{Name: "errors"}})
		case 0:
			steps = append(steps, api.Step{Pause: &api.Pause{}})
		case 1:
			steps = append(steps, api.Step{Pause: &api.Pause{Duration: "20s"}})
		default:
			steps = append(steps, api.Step{Partition: partition.Draw(t, "partition")})
		}
	}
	return steps
}

// editSteps has somebody change one of the steps, or how many there are.
func (h *history) editSteps(t *rapid.T) {
	steps, other := slices.Clone(h.rollout.Steps), anySteps(t)
	if len(steps) > 0 && len(other) > 0 {
		steps[rapid.IntRange(0, len(steps)-1).Draw(t, "which")] = other[0]
	} else {
		steps = other
	}
	h.rollout.Steps = steps
}

// letGo is a person who sees where it is, or has enough of steps.
func (h *history) letGo(t *rapid.T) {
	if h.progress == nil {
		t.Skip("nothing to promote")
	}
	h.promotion = api.Promotion{Revision: h.progress.Revision, Step: h.progress.Step, Full: rapid.IntRange(0, 9).Draw(t, "full") == 0}
}

// way are the steps that are left to tell of: none on the way back.
func (c *cluster) way() []api.Step {
	if c.stable != nil && c.stable.ID == c.revision.ID || c.stable == nil && stableOf(c.input()).ID == c.revision.ID {
		return nil
	}
	return c.rollout.Steps
}

// onTheWay is how many pods a step holds, of what is between 1 and the number of
// steps.
func (c *cluster) onTheWay(step int) int {
	hold := len(c.alive())
	for i := range step {
		if partition := c.way()[i].Partition; partition.Set {
			hold = c.holds(partition)
		}
	}
	return hold
}

// came is how far the rollout was before this plan.
func (c *cluster) came() api.Progress {
	was, steps := c.progress, c.way()
	if was != nil && was.Revision == c.revision.ID && was.Step <= len(steps)+1 && was.Passed == api.StepsID(steps[:was.Step-1]) {
		return *was
	}
	return api.Progress{Step: 1}
}

// had is how many pods have the revision.
func (c *cluster) had() int { return c.count(c.has) }

// has the revision, or was told to.
func (c *cluster) has(p *simPod) bool {
	return p.Desired.Revision == c.revision.ID || p.Desired.Revision == "" && p.on() == c.revision.ID
}

// tooFar: a step is passed that nobody let go, whose time is not over, or whose
// pods are not there.
func tooFar(c *cluster, p Plan) string {
	if len(c.alive()) == 0 || p.Progress == nil {
		return ""
	}
	steps, from := c.way(), c.came()
	if p.Progress.Step < from.Step {
		return fmt.Sprintf("from step %d back to %d", from.Step, p.Progress.Step)
	}
	for i := from.Step; i < p.Progress.Step; i, from = i+1, (api.Progress{}) {
		pause := steps[i-1].Pause
		promoted := c.promotion.Revision == c.revision.ID && (c.promotion.Full || i <= c.promotion.Step)
		over := pause != nil && pause.Duration != "" && !from.Since.IsZero() && c.now.Sub(from.Since) >= pause.Lasts()
		if pause != nil && !promoted && !over {
			return fmt.Sprintf("past the pause at step %d", i)
		}
		if a := steps[i-1].Analysis; a != nil && c.judgedAt[i] != a.Name+" "+c.asksFor() {
			return fmt.Sprintf("past analysis %s at step %d, which was passed for %q", a.Name, i, c.judgedAt[i])
		}
		there := c.count(func(p *simPod) bool { return p.on() == c.revision.ID && !c.proving(p) && !c.gated(p) })
		if want := len(c.alive()) - max(c.onTheWay(i), c.holds(c.rollout.Partition)); there < want {
			return fmt.Sprintf("past step %d with %d of %d pods", i, there, want)
		}
	}
	return ""
}

// aheadOfGit: another pod begins before Git knows how far the rollout is.
func aheadOfGit(c *cluster, p Plan) string {
	if p.Progress == nil || p.Progress.Same(c.recorded) {
		return ""
	}
	for _, a := range p.Actions {
		pod := c.byUID(a.UID)
		if a.Kind == Apply && a.Revision.ID == c.revision.ID && pod.Desired.Revision != c.revision.ID && pod.on() != c.revision.ID {
			return a.String()
		}
	}
	return ""
}

// lost on the way: nothing says at which step it is.
func untoldStep(c *cluster, p Plan) string {
	if p.Progress == nil || p.Progress.Step > len(c.way()) || p.Phase == api.PhasePending {
		return ""
	}
	if !strings.HasPrefix(p.Message, fmt.Sprintf("step %d of %d: ", p.Progress.Step, len(c.way()))) || p.Reached || p.Phase == api.PhaseComplete {
		return fmt.Sprintf("%s %q", p.Phase, p.Message)
	}
	return ""
}

// said is a message without the step that it is told at.
func (p Plan) said() string {
	if _, rest, ok := strings.Cut(p.Message, ": "); ok && strings.HasPrefix(p.Message, "step ") {
		return rest
	}
	return p.Message
}

// goneBy tells whether a time has come that a plan has named.
func (p Plan) goneBy(now time.Time) bool { return !p.Again.IsZero() && !now.Before(p.Again) }
