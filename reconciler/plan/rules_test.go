package plan

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"hotpatch.dev/hotpatch/api"
)

// rules hold for every plan. They are told in the dumbest way, from what is
// true of the simulated pods; "" means that a rule is kept.
var rules = []struct {
	name   string
	broken func(*cluster, Plan) string
}{
	{"what waits says for whom", silentWait},
	{"what is gone or has no node is left alone", untouchable},
	{"what is suspended starts nothing, and says so", notSuspended},
	{"outside of its window nothing goes on", notOutside},
	{"protected pods are left alone, counted and named", notProtected},
	{"a deadline ends a protection, and no other time does", notDeferred},
	{"nothing begins before others are Complete", notBehindOthers},
	{"nothing begins before its images are admitted", notJudged},
	{"nobody is asked twice for the same", askedTwice},
	{"no more pods change at once than maxConcurrent", tooManyAtOnce},
	{"who is not proven holds a place", tooManyPlaces},
	{"it is looked at again, later", lookedAtAgain},
	{"no more Ready pods are taken than maxUnavailable", tooManyUnavailable},
	{"nobody is passed over", passedOver},
	{"pods go one way at a time", bothWays},
	{"nobody is taken back that need not be", takenBack},
	{"who must go back goes in turn", lastNotFirst},
	{"what was judged is not tried again", triedAgain},
	{"a verdict says why to its end", verdictUntold},
	{"nobody goes past a gate", pastAGate},
	{"nobody else begins once enough have failed", pastTheThreshold},
	{"the partition is kept", beyondPartition},
	{"no step is passed before its time", tooFar},
	{"nobody begins before Git knows the step", aheadOfGit},
	{"on the way it says at which step", untoldStep},
	{"images are ahead of the first swap on every node", unprepared},
	{"counts are what one counts by hand", miscounted},
	{"reached is what all pods are on", notReached},
}

// holdTo takes over what a plan says of itself, and holds the plan to the rules.
func (c *cluster) holdTo(p Plan) (wrong string) {
	if wrong = unjust(c, p); wrong != "" {
		return wrong
	}
	if !p.Reached { // what it was reached by
		c.keep(p)
	}
	c.verdict, c.stands = p.Verdict, p.Progress // in memory at once, whatever comes of the record
	for _, rule := range rules {
		if wrong = rule.broken(c, p); wrong != "" {
			return fmt.Sprintf("rule %q is broken: %s", rule.name, wrong)
		}
	}
	return ""
}

func untouchable(c *cluster, p Plan) string {
	for _, a := range p.Actions {
		if pod := c.byUID(a.UID); pod.Gone || pod.Node == "" {
			return a.String()
		}
	}
	return ""
}

func notSuspended(c *cluster, p Plan) string {
	silent := !strings.Contains(p.Message, "suspended in Git") || p.Phase == api.PhaseComplete || p.Phase == api.PhaseProgressing
	if c.suspended && (len(p.Actions) > 0 || silent) {
		return fmt.Sprintf("%s %q, %v", p.Phase, p.Message, p.Actions)
	}
	return ""
}

func askedTwice(c *cluster, p Plan) string {
	seen := map[string]bool{}
	for _, a := range p.Actions {
		pod := c.byUID(a.UID)
		asked := pod.Desired.Revision
		switch a.Kind {
		case Prepare:
			asked = pod.Prepare.Revision
		case Admit:
			asked = c.admitted
		}
		if asked == a.Revision.ID && !pod.strayed() || seen[a.UID] {
			return a.String()
		}
		seen[a.UID] = true
	}
	return ""
}

// changing: asked for something, and not there.
func (p *simPod) changing() bool {
	return p.Desired.Revision != "" && p.Desired.Revision != p.on()
}

func tooManyAtOnce(c *cluster, p Plan) string {
	before, after := 0, 0
	for _, pod := range c.alive() {
		changes := pod.changing() && !c.spared(pod)
		if changes {
			before++
		}
		if changes || applied(p, pod) {
			after++
		}
	}
	limit := max(1, c.rollout.MaxConcurrent.Of(len(c.alive())))
	return exceeds(after, max(limit, before))
}

func tooManyPlaces(c *cluster, p Plan) string {
	before, after := 0, 0
	for _, pod := range c.alive() {
		holds := !c.spared(pod) && (pod.changing() || c.proving(pod) || c.gated(pod))
		if holds {
			before++
		}
		if holds || applied(p, pod) {
			after++
		}
	}
	return exceeds(after, max(before, 1, c.rollout.MaxConcurrent.Of(len(c.alive()))))
}

func tooManyUnavailable(c *cluster, p Plan) string {
	before, after := 0, 0
	for _, pod := range c.alive() {
		lacking := !pod.Ready || !c.spared(pod) && (pod.changing() || c.proving(pod) || c.gated(pod))
		if lacking {
			before++
		}
		if lacking || applied(p, pod) {
			after++
		}
	}
	limit := max(1, c.rollout.MaxUnavailable.OfRoundedDown(len(c.alive())))
	return exceeds(after, max(limit, before))
}

func exceeds(n, limit int) string {
	if n > limit {
		return fmt.Sprintf("%d, but the limit is %d", n, limit)
	}
	return ""
}

func applied(p Plan, pod *simPod) bool {
	return slices.ContainsFunc(p.Actions, func(a Action) bool { return a.Kind == Apply && a.UID == pod.UID })
}

// bothWays: some go on while others are to go back, or must still be told to.
func bothWays(c *cluster, p Plan) string {
	ids := map[string]bool{}
	for _, a := range p.Actions {
		if c.byUID(a.UID).Desired.Revision != a.Revision.ID || a.Kind == Prepare {
			ids[a.Revision.ID] = true
		}
	}
	if len(ids) > 1 {
		return fmt.Sprint(ids)
	}
	if asked := c.asked(); ids[c.revision.ID] && asked > c.share() {
		return fmt.Sprintf("%d were told to be on %s, which is too many already", asked, c.revision.ID)
	}
	return ""
}

func beyondPartition(c *cluster, p Plan) string {
	asked, before := c.asked(), c.asked()
	for _, a := range p.Actions {
		if a.Kind == Apply && a.Revision.ID == c.revision.ID && c.byUID(a.UID).Desired.Revision != a.Revision.ID {
			asked++
		}
	}
	return exceeds(asked, max(before, c.share()))
}

// asked is how many pods were told to be on the revision.
func (c *cluster) asked() (n int) {
	for _, pod := range c.alive() {
		if pod.Desired.Revision == c.revision.ID {
			n++
		}
	}
	return n
}

// share is how many pods should be on the revision: all but the partition and, on
// the way, those that a step keeps from going.
func (c *cluster) share() int {
	total := len(c.alive())
	if total == 0 || c.stable != nil && c.stable.ID == c.revision.ID {
		return total
	}
	if c.verdict != nil && c.verdict.Do == api.FailureRollback {
		return 0
	}
	share := total - c.holds(c.rollout.Partition)
	if at := c.stands; at != nil && at.Step <= len(c.way()) {
		share = min(share, max(c.had(), total-c.onTheWay(at.Step)))
	}
	return share
}

// holds is a number of pods, or the smallest one that is not less than a percent.
func (c *cluster) holds(partition api.IntOrPercent) int {
	total := len(c.alive())
	if !partition.Percent {
		return min(total, partition.Value)
	}
	held := 0
	for held*100 < total*partition.Value {
		held++
	}
	if held == total && partition.Value < 100 {
		held--
	}
	return max(held, 0)
}

func unprepared(c *cluster, p Plan) string {
	for _, a := range p.Actions {
		if a.Kind != Apply || a.Revision.ID != c.revision.ID || c.byUID(a.UID).strayed() {
			continue
		}
		for _, pod := range c.alive() {
			for _, image := range images(a.Revision) {
				if pod.Node != "" && !c.pulled[pod.Node+" "+image] && !c.askedOn(pod.Node) {
					return fmt.Sprintf("%s is not on %s", image, pod.Node)
				}
			}
		}
	}
	return ""
}

// askedOn: a node whose pod was told already pulls by itself.
func (c *cluster) askedOn(node string) bool {
	return slices.ContainsFunc(c.alive(), func(p *simPod) bool {
		return p.Node == node && p.Desired.Revision == c.revision.ID
	})
}

func miscounted(c *cluster, p Plan) string {
	want := api.Counts{Total: len(c.alive()), Desired: c.share()}
	for _, pod := range c.alive() {
		if pod.Ready {
			want.Ready++
		}
		if pod.on() == c.revision.ID {
			want.Updated++
		}
		if pod.on() == c.revision.ID && pod.Ready {
			want.UpdatedReady++
		}
	}
	if p.Counts != want {
		return fmt.Sprintf("%+v, by hand %+v", p.Counts, want)
	}
	return ""
}

func notReached(c *cluster, p Plan) string {
	for _, pod := range c.alive() {
		if p.Reached && pod.on() != c.revision.ID {
			return pod.Name + " is not on it"
		}
	}
	if p.Reached && c.share() < len(c.alive()) {
		return "the partition holds pods"
	}
	return ""
}

func dumpPlan(p Plan) string {
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // plain structs: cannot fail
	}
	return string(text)
}
