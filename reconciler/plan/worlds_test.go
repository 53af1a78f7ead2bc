package plan

import (
	"fmt"
	"slices"
	"strings"

	"hotpatch.dev/hotpatch/api"
)

// smallWorld is a cluster in the middle of which everything may happen.
type smallWorld struct {
	name    string
	pods    int
	shape   shape
	rollout api.Rollout
	// partitions and versions that somebody may push.
	partitions []api.IntOrPercent
	versions   []string
	// slowGit: that a plan is recorded is something that happens, too.
	slowGit bool
	// others: a HotPatch that this one depends on is Complete, or is not.
	others bool
}

var (
	smokeOfPods = api.Analysis{Name: "smoke", When: []api.Moment{api.MomentPod}}
	errorsAmong = api.Analysis{Name: "errors", When: []api.Moment{api.MomentBefore, api.MomentBetween, api.MomentAfter}}
)

var smallWorlds = []smallWorld{
	{name: "four pods, two at once", pods: 4, shape: shape{image: true},
		rollout:    api.Rollout{MaxConcurrent: api.Count(2), MaxUnavailable: api.Count(2)},
		partitions: []api.IntOrPercent{api.Count(0), api.Count(1), api.Count(3)}, versions: []string{"v1", "v2", "v3"}},
	{name: "four pods, rolled back", pods: 4, shape: shape{image: true},
		rollout:    api.Rollout{MaxConcurrent: api.Count(2), MaxUnavailable: api.Count(2), OnFailure: api.FailureRollback, FailureThreshold: api.Count(2)},
		partitions: []api.IntOrPercent{api.Count(0), api.Count(2)}, versions: []string{"v1", "v2", "v3"}},
	{name: "three pods, rolled back", pods: 3, shape: shape{image: true},
		rollout:    api.Rollout{MaxConcurrent: api.Count(1), MaxUnavailable: api.Count(1), OnFailure: api.FailureRollback},
		partitions: []api.IntOrPercent{api.Count(0), api.Count(2)}, versions: []string{"v1", "v2", "v3"}},
	{name: "three pods, past a failure", pods: 3, shape: shape{image: true},
		rollout:    api.Rollout{MaxConcurrent: api.Count(1), MaxUnavailable: api.Count(2), FailureThreshold: api.Count(2), Analysis: []api.Analysis{smokeOfPods}},
		partitions: []api.IntOrPercent{api.Count(0)}, versions: []string{"v1", "v2"}},
	{name: "three pods, by steps", pods: 3, shape: shape{image: true}, slowGit: true,
		rollout: api.Rollout{MaxConcurrent: api.Count(2), MaxUnavailable: api.Count(2), Steps: []api.Step{
			{Partition: api.Count(2)}, {Analysis: &api.Analysis{Name: "errors"}}, {Partition: api.Count(1)}, {Pause: &api.Pause{}}}},
		partitions: []api.IntOrPercent{api.Count(0), api.Count(2)}, versions: []string{"v1", "v2", "v3"}},
	{name: "two pods, with gates", pods: 2, shape: shape{image: true}, slowGit: true,
		rollout: api.Rollout{MaxConcurrent: api.Count(1), MaxUnavailable: api.Count(1), OnFailure: api.FailureRollback,
			Analysis: []api.Analysis{errorsAmong, smokeOfPods}},
		partitions: []api.IntOrPercent{api.Count(0), api.Count(1)}, versions: []string{"v1", "v2"}},
	{name: "three pods, with files", pods: 3, shape: shape{image: true, files: true},
		rollout:    api.Rollout{MaxConcurrent: api.Count(1), MaxUnavailable: api.Count(1), FailureThreshold: api.Count(2)},
		partitions: []api.IntOrPercent{api.Count(0), api.Count(1)}, versions: []string{"v1", "v2"}},
	{name: "two pods, in time", pods: 2, shape: shape{image: true}, slowGit: true,
		rollout: api.Rollout{MaxConcurrent: api.Count(1), MaxUnavailable: api.Count(1), MinReadySeconds: 20, OnFailure: api.FailureRollback, ProgressDeadlineSeconds: 40,
			Steps: []api.Step{{Partition: api.Count(1)}, {Pause: &api.Pause{Duration: "30s"}}}},
		partitions: []api.IntOrPercent{api.Count(0), api.Count(1)}, versions: []string{"v1", "v2"}},
	{name: "three pods, in matches, and others first", pods: 3, shape: shape{image: true}, others: true,
		rollout:    api.Rollout{MaxConcurrent: api.Count(2), MaxUnavailable: api.Count(2), Protect: playing("20s")},
		partitions: []api.IntOrPercent{api.Count(0), api.Count(1)}, versions: []string{"v1", "v2"}},
}

// build has every pod on v1, and v2 asked for.
func (w smallWorld) build() *cluster {
	c := newCluster()
	c.rollout = w.rollout
	for i := range w.pods {
		c.pods = append(c.pods, newPod(fmt.Sprintf("game-%d", i), fmt.Sprintf("%d-a", i)))
	}
	c.settle(w.shape.revision("v1"))
	c.gitDown = w.slowGit
	c.push(w.shape.revision("v2"), w.partitions[0])
	return c
}

// newPod has an identity that comes again, as worlds would have no end otherwise.
func newPod(name, uid string) *simPod {
	return &simPod{Pod: Pod{Name: name, UID: uid, Ordinal: -1, Node: "n1", Created: noon, Ready: true, ReadySince: noon, Reachable: true,
		ContainerIDs: map[string]string{"main": "a"}}}
}

// push is a commit: what it changes is something else that Git says.
func (c *cluster) push(r Revision, partition api.IntOrPercent) {
	c.revision, c.rollout.Partition = r, partition
	c.spec = fmt.Sprintf("%s/%s", r.ID, partition)
}

// move is one thing that may happen; it says what is wrong with it.
type move struct {
	name  string
	costs int // disturbances
	do    func(*cluster) (wrong string)
}

// does is a move that cannot be wrong.
func does(name string, costs int, do func(*cluster)) move {
	return move{name, costs, func(c *cluster) string { do(c); return "" }}
}

// moves are all that may happen to a cluster with so many disturbances left.
func (w smallWorld) moves(c *cluster, left int) []move {
	moves := []move{{"the plan is done", 0, (*cluster).planAndAct}}
	for i, p := range c.pods {
		moves = append(moves, ofPod(i, p)...)
		if len(w.rollout.Protect) > 0 {
			moves = append(moves, match(i, p))
		}
	}
	switch {
	case w.others && len(c.waitsFor) == 0:
		moves = append(moves, does("another is changing", 1, func(c *cluster) { c.waitsFor = []string{"other"} }))
	case w.others:
		moves = append(moves, does("another is Complete", 0, func(c *cluster) { c.waitsFor = nil }))
	}
	moves = append(moves, c.judgements()...)
	if c.suspended {
		moves = append(moves, does("Git lets it go on", 0, func(c *cluster) { c.suspended = false }))
	}
	if again := Make(c.input()).Again; !again.IsZero() {
		moves = append(moves, does("it is looked at again", 0, func(c *cluster) { c.now = again }))
	}
	if w.slowGit {
		moves = append(moves, does("Git has the record", 0, (*cluster).pushed))
	}
	if p := c.progress; p != nil && p.Step <= len(c.way()) && c.way()[p.Step-1].Pause != nil {
		moves = append(moves, does("somebody promotes", 0, func(c *cluster) { c.promotion = api.Promotion{Revision: p.Revision, Step: p.Step} }))
	}
	if r := c.results; r != nil && r.For == c.asksFor() && len(r.Failed) > 0 {
		moves = append(moves, does("somebody has it measured again", 0, func(c *cluster) { c.spec += "'" }))
	}
	moves = append(moves, w.commits(c)...)
	return slices.DeleteFunc(moves, func(m move) bool { return m.costs > left })
}

func (c *cluster) planAndAct() string {
	p := Make(c.input())
	shuffled := c.input()
	slices.Reverse(shuffled.Pods)
	if again := Make(shuffled); dumpPlan(again) != dumpPlan(p) {
		return "the order of the pods matters:\n" + c.told(again)
	}
	wrong := c.holdTo(p)
	c.act(p)
	return wrong
}

// match begins or ends in a pod.
func match(i int, p *simPod) move {
	if p.Labels["state"] == "" {
		return does(p.Name+" has a match", 1, func(c *cluster) { c.pods[i].Labels = map[string]string{"state": "playing"} })
	}
	return does(p.Name+"'s match ends", 0, func(c *cluster) { c.pods[i].Labels = nil })
}

// ofPod is what may happen to one pod.
func ofPod(i int, p *simPod) []move {
	named := func(what string, costs int, do func(*cluster, *simPod)) move {
		return does(p.Name+" "+what, costs, func(c *cluster) { do(c, c.pods[i]) })
	}
	if p.Gone {
		return []move{named("is replaced", 0, func(c *cluster, p *simPod) {
			c.pods[i] = newPod(p.Name, other(p.UID))
			c.pods[i].ReadySince = c.now
		})}
	}
	moves := []move{
		named("has its agent work", 0, (*cluster).work),
		named("dies", 1, func(_ *cluster, p *simPod) { p.Gone = true }),
	}
	if p.ContainerIDs["main"] == "" {
		return append(moves, named("restarts", 0, func(c *cluster, p *simPod) {
			c.restart(p)
			p.ContainerIDs["main"] = p.nextContainer()
			c.setReady(p, true)
		}))
	}
	moves = append(moves, named("crashes", 1, (*cluster).crash))
	if p.Desired.Revision != "" && p.at != p.Desired.Revision {
		moves = append(moves, named("fails", 1, func(c *cluster, p *simPod) { p.fail = "bad luck"; c.work(p); p.fail = "" }))
	}
	if p.refuse != "" {
		return append(moves, named("has a sidecar that is well", 0, func(_ *cluster, p *simPod) { p.refuse = "" }))
	}
	if len(p.Files.Files) > 0 {
		moves = append(moves, named("has a sidecar that refuses", 1, func(_ *cluster, p *simPod) { p.refuse = "no" }))
	}
	return moves
}

// other is the UID of the pod that follows; the one after that is the first again.
func other(uid string) string {
	if name, first := strings.CutSuffix(uid, "a"); first {
		return name + "b"
	}
	return uid[:len(uid)-1] + "a"
}

// nextContainer is one that nobody has been at.
func (p *simPod) nextContainer() string {
	for _, is := range p.Observed.Containers {
		if is.ContainerID == "a" {
			return "b"
		}
	}
	return "a"
}

// judgements are what may come of the gates that are measured.
func (c *cluster) judgements() (moves []move) {
	for _, g := range Make(c.input()).Gates {
		if _, over := c.gates[g.Key()]; over {
			continue
		}
		for _, j := range []struct {
			state GateState
			costs int
		}{{GateSuccessful, 0}, {GateFailed, 1}, {GateInconclusive, 1}} {
			moves = append(moves, does(fmt.Sprintf("%s: %s", g, j.state), j.costs, func(c *cluster) {
				c.judge(Judged{j.state, "so it was measured"}, func(is Gate) bool { return is == g })
			}))
		}
	}
	return moves
}

// commits are what people push, and what becomes of those who read it.
func (w smallWorld) commits(c *cluster) (moves []move) {
	for _, version := range w.versions {
		if version != c.revision.ID {
			moves = append(moves, does("push of "+version, 1, func(c *cluster) { c.push(w.shape.revision(version), c.rollout.Partition) }))
		}
	}
	for _, partition := range w.partitions {
		if partition != c.rollout.Partition {
			moves = append(moves, does("partition "+partition.String(), 1, func(c *cluster) { c.push(c.revision, partition) }))
		}
	}
	if !c.suspended {
		moves = append(moves, does("Git suspends it", 1, func(c *cluster) { c.suspended = true }))
	}
	if w.slowGit {
		moves = append(moves, does("another reconciler", 1, (*cluster).reborn))
	}
	return moves
}
