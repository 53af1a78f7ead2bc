package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"hotpatch.dev/hotpatch/api"
)

// cluster is a dumb one to play plans on: whatever is asked of a pod is there
// after its agent's next work, unless a fault was put in the way.
type cluster struct {
	revision Revision
	stable   *Revision
	rollout  api.Rollout
	// suspended in Git, by what if not by the HotPatch itself
	suspended   bool
	suspendedBy string
	// waitsFor are other HotPatches.
	waitsFor []string
	// judges: there are admission controls, that say policy of new images, or
	// nothing against them; admitted and refusal are what is known of it.
	judges                    bool
	policy, admitted, refusal string
	// deferred as the last plan that was done had them.
	deferred []api.DeferredPod
	// spec is what else Git says, verdict what is recorded of it.
	spec    string
	verdict *api.Verdict
	gates   map[string]Judged // what came of those that are measured
	passed  map[string]string // between batches: by analysis, for which pods
	// judgedAt is, by step, which analysis was passed there, for what; and what
	// stands of that in the record.
	judgedAt, recordedAt map[int]string
	promotion            api.Promotion
	// progress as the last plan had it, and as Git holds it: the same, while the
	// Git server is up.
	progress, recorded *api.Progress
	// results of gates that are over, likewise.
	results, recordedResults *api.GateResults
	gitDown                  bool
	stands                   *api.Progress // that of the plan that is judged
	pods                     []*simPod
	unknown                  map[string]bool // images that no registry has
	pulled                   map[string]bool // "node image"
	started                  int             // containers, so far
	now                      time.Time
}

// simPod is a pod with what is true of it, in plain fields that no plan reads.
type simPod struct {
	Pod
	// at is the revision that the pod's container is on, files the one that its
	// files are of; "" for none, as of a pod that nobody touched.
	at, files string
	// fail is what goes wrong whenever the agent swaps, be it only to the revision
	// failOn, refuse what the sidecar answers; "" for nothing.
	fail, failOn, refuse string
	// born is the version that its own image is, if that is known.
	born string
	// moved is when it was last brought somewhere.
	moved time.Time
}

// on is the revision that the pod is on, its files included if it has some:
// the pods' own images, whose revision is not named like a version, have none.
func (p *simPod) on() string {
	if p.files != "" && p.files != p.at && strings.HasPrefix(p.at, "v") {
		return ""
	}
	return p.at
}

// strayed: somebody replaced its files.
func (p *simPod) strayed() bool { return p.files == byHand }

const byHand = "by hand"

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func newCluster() *cluster {
	var h api.HotPatch
	h.Default()
	return &cluster{rollout: h.Spec.Rollout, unknown: map[string]bool{}, pulled: map[string]bool{}, passed: map[string]string{}, judgedAt: map[int]string{}, now: noon}
}

func (c *cluster) input() Input {
	in := Input{HotPatch: "game", Target: "Deployment game", Revision: c.revision, Stable: c.stable, Rollout: c.rollout, Openings: c.rollout.Window.Openings(), Now: c.now,
		Suspended: c.suspended, SuspendedBy: c.suspendedBy, WaitsFor: c.waitsFor, Deferred: map[string]time.Time{},
		Progress: c.progress, Recorded: c.recorded, Promotion: c.promotion, Spec: c.spec, Verdict: c.verdict, Gates: c.judged()}
	if c.judges && c.admitted != c.revision.ID {
		in.Unjudged, in.Refusal = true, c.refusal
	}
	for _, d := range c.deferred {
		in.Deferred[d.Name] = d.Since
	}
	for _, p := range c.pods {
		in.Pods = append(in.Pods, p.Pod)
	}
	return in
}

// add has a pod appear; without a node it waits to be scheduled.
func (c *cluster) add(name, node string, ordinal int) *simPod {
	p := &simPod{Pod: Pod{Name: name, UID: fmt.Sprintf("uid-%d-%s", c.started, name), Ordinal: ordinal, Created: c.now}}
	c.pods = append(c.pods, p)
	if node != "" {
		c.schedule(p, node)
	}
	return p
}

func (c *cluster) schedule(p *simPod, node string) {
	p.Node, p.Reachable = node, true
	c.setReady(p, true)
	c.restart(p)
}

func (c *cluster) setReady(p *simPod, ready bool) {
	if p.Ready != ready {
		p.Ready, p.ReadySince = ready, c.now
	}
}

// restart gives a pod's container a new root, that of its own image.
func (c *cluster) restart(p *simPod) {
	c.started++
	p.ContainerIDs = map[string]string{"main": fmt.Sprintf("containerd://%d", c.started)}
	if len(p.Observed.Containers) > 0 {
		p.at = ""
	} else if p.born != "" {
		p.at = p.born
	}
}

// crash ends a pod's container; the next one is not there yet.
func (c *cluster) crash(p *simPod) {
	c.restart(p)
	c.setReady(p, false)
	p.ContainerIDs = map[string]string{}
	if len(p.Observed.Containers) == 0 && p.born != "" {
		p.at = ""
	}
}

// overwrite has somebody put another file in place by hand.
func (c *cluster) overwrite(p *simPod) {
	for i := range p.Files.Files {
		p.Files.Files[i].Version, p.Files.Files[i].SHA256 = byHand, "sha-by-hand"
		p.files = byHand
	}
}

// remove has the pods that are gone disappear.
func (c *cluster) remove() {
	c.pods = slices.DeleteFunc(c.pods, func(p *simPod) bool { return p.Gone })
}

func (c *cluster) alive() []*simPod {
	return slices.DeleteFunc(slices.Clone(c.pods), func(p *simPod) bool { return p.Gone })
}

// act does what a plan says, as the reconciler does, and remembers a revision
// that was reached.
func (c *cluster) act(plan Plan) {
	c.verdict = plan.Verdict
	c.keep(plan)
	for _, a := range plan.Actions {
		p := c.byUID(a.UID)
		if a.Kind == Admit {
			if c.refusal = c.policy; c.policy == "" {
				c.admitted = a.Revision.ID
			}
			continue
		}
		if a.Kind == Prepare {
			p.Prepare = api.Prepare{Revision: a.Revision.ID, Containers: a.Revision.Containers}
			continue
		}
		p.SidecarError = p.update(a.Revision, c.now)
		p.Refused = p.SidecarError != "" && a.Revision.ID == c.revision.ID
		if p.SidecarError == "" {
			ready := p.Ready
			if p.Desired.Revision == a.Revision.ID {
				ready = p.Desired.Ready
			}
			p.Prepare = api.Prepare{}
			p.Desired = api.Desired{HotPatch: "game", Revision: a.Revision.ID, Containers: a.Revision.Containers, Files: a.Revision.Files, Ready: ready, Reason: a.Reason}
		}
	}
	c.deferred = plan.Deferred
	if plan.Reached {
		reached := c.revision
		c.stable = &reached
	}
	if c.progress = plan.Progress; c.progress != nil {
		maps.DeleteFunc(c.judgedAt, func(step int, _ string) bool { return step < c.progress.Step })
	}
	if !c.gitDown {
		c.record()
	}
}

// record has the Git server take what it was told.
func (c *cluster) record() {
	c.gitDown = false
	c.pushed()
}

func (c *cluster) pushed() {
	c.recorded, c.recordedResults, c.recordedAt = c.progress, c.results, maps.Clone(c.judgedAt)
}

// reborn has the reconciler end, and another one read what Git holds.
func (c *cluster) reborn() {
	c.progress, c.results, c.gates, c.judgedAt = c.recorded, c.recordedResults, nil, map[int]string{}
	maps.Copy(c.judgedAt, c.recordedAt)
}

func (c *cluster) byUID(uid string) *simPod {
	return c.pods[slices.IndexFunc(c.pods, func(p *simPod) bool { return p.UID == uid })]
}
