package plan

import (
	"fmt"
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
	spec      string
	verdict   *api.Verdict
	gates     map[string]Judged // what came of them
	passed    map[string]string // between batches: by analysis, for which pods
	promotion api.Promotion
	// progress as the last plan had it, and as Git holds it: the same, while the
	// Git server is up.
	progress, recorded *api.Progress
	gitDown            bool
	stands             *api.Progress // that of the plan that is judged
	pods               []*simPod
	unknown            map[string]bool // images that no registry has
	pulled             map[string]bool // "node image"
	started            int             // containers, so far
	now                time.Time
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
	return &cluster{rollout: h.Spec.Rollout, unknown: map[string]bool{}, pulled: map[string]bool{}, passed: map[string]string{}, now: noon}
}

func (c *cluster) input() Input {
	in := Input{HotPatch: "game", Target: "Deployment game", Revision: c.revision, Stable: c.stable, Rollout: c.rollout, Now: c.now,
		Suspended: c.suspended, SuspendedBy: c.suspendedBy, WaitsFor: c.waitsFor, Deferred: map[string]time.Time{},
		Progress: c.progress, Unrecorded: !c.progress.Same(c.recorded), Promotion: c.promotion, Spec: c.spec, Verdict: c.verdict, Gates: c.gates}
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
	c.keep(plan.Gates)
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
			p.Desired = api.Desired{HotPatch: "game", Revision: a.Revision.ID, Containers: a.Revision.Containers, Files: a.Revision.Files, Ready: ready}
		}
	}
	c.deferred = plan.Deferred
	if plan.Reached {
		reached := c.revision
		c.stable = &reached
	}
	if c.progress = plan.Progress; !c.gitDown {
		c.record()
	}
}

// record has the Git server take what it was told.
func (c *cluster) record() { c.gitDown, c.recorded = false, c.progress }

// reborn has the reconciler end, and another one read what Git holds.
func (c *cluster) reborn() { c.progress = c.recorded }

func (c *cluster) byUID(uid string) *simPod {
	return c.pods[slices.IndexFunc(c.pods, func(p *simPod) bool { return p.UID == uid })]
}

// update has the sidecar put the files of a revision in place, and returns why
// it did not.
func (p *simPod) update(r Revision, now time.Time) string {
	for _, f := range r.Files {
		if p.hasFile(f) {
			continue
		}
		if p.refuse != "" {
			return p.refuse
		}
		p.Files.Files = []api.ObservedFile{{Path: f.Path, Version: f.Version, SHA256: f.SHA256, State: api.FileUpdated, Time: now}}
		p.moved = now
		if p.files = f.Version; len(r.Containers) == 0 {
			p.at = r.ID
		}
	}
	return ""
}

// work has a pod's agent do all that is asked of it, and say what it saw.
func (c *cluster) work(p *simPod) {
	if p.Node == "" || p.Gone {
		return
	}
	p.Observed.Prepared = nil
	for _, want := range p.Prepare.Containers {
		p.Observed.Prepared = append(p.Observed.Prepared, c.pull(p.Node, want))
	}
	if p.Desired.Revision == "" {
		return
	}
	before := p.Observed.Containers
	p.Observed.Revision, p.Observed.Containers = p.Desired.Revision, nil
	for _, want := range p.Desired.Containers {
		p.Observed.Containers = append(p.Observed.Containers, c.since(before, c.swap(p, want)))
	}
	if len(before) == 0 && p.born != "" {
		p.moved = c.now // what was started so is proven from when it is seen
	}
	p.Touched = p.Touched || p.at == p.Desired.Revision // then there is a label
}

// since gives what was seen the time at which it was first so.
func (c *cluster) since(before []api.ObservedContainer, is api.ObservedContainer) api.ObservedContainer {
	is.Time = c.now
	for _, was := range before {
		is.Time = was.Time
		if was != is {
			is.Time = c.now
		}
	}
	return is
}

func (c *cluster) pull(node string, want api.DesiredContainer) api.PreparedImage {
	is := api.PreparedImage{Container: want.Name, Image: want.Image, State: api.StateReady}
	if c.unknown[want.Image] {
		is.State, is.Message = api.StateFailed, want.Image+": not found"
		return is
	}
	c.pulled[node+" "+want.Image] = true
	return is
}

func (c *cluster) swap(p *simPod, want api.DesiredContainer) api.ObservedContainer {
	is := api.ObservedContainer{Name: want.Name, ContainerID: p.ContainerIDs[want.Name], Image: want.Image, State: api.StatePatched}
	there := p.at == p.Desired.Revision
	if !there {
		p.moved = c.now
	}
	p.at = p.Desired.Revision
	switch {
	case p.fail != "" && !there && (p.failOn == "" || p.failOn == p.Desired.Revision):
		is.State, is.Message, p.at = api.StateFailed, p.fail, ""
	case is.ContainerID == "":
		is.State, is.Message, p.at = api.StateFailed, "does not run", ""
	case want.Image == "":
		is.State, is.Image = api.StateRestored, "game:own"
	case want.Reload != nil:
		is.State = api.StateReloaded
	}
	return is
}
