// Package plan decides what to do next for one HotPatch: which pods change, in
// which order, how many at once, and what there is to say about it.
//
// It is pure: no clock, no I/O, no client. The same input gives the same plan,
// in whatever order the pods are listed.
package plan

import (
	"fmt"
	"time"

	"hotpatch.dev/hotpatch/api"
)

// Pod is what was observed of one pod.
type Pod struct {
	Name, UID, Node string
	// Zone of its node; "" where the pod does not say so.
	Zone    string
	Created time.Time
	Ready   bool
	// ReadySince is when Ready last changed.
	ReadySince time.Time
	// Reachable: it has an address, so that its sidecar can be called.
	Reachable bool
	// Gone: being deleted, or ended for good. Such pods are not counted.
	Gone bool
	// Priority first among equals, the higher the earlier.
	Priority int
	// Ordinal in a StatefulSet, -1 outside of one.
	Ordinal int
	// ContainerIDs by container name, as the pod's status has them now.
	ContainerIDs map[string]string
	// OwnImages by container name, that they were started from, as kubelet says.
	OwnImages map[string]string
	// Touched: an agent has been at its containers, whose own images say nothing
	// of their roots any more.
	Touched bool
	// Labels and Annotations, as far as protections read them.
	Labels, Annotations map[string]string
	// Desired is what the pod's annotation asks for; Prepare likewise.
	Desired api.Desired
	Prepare api.Prepare
	// Observed by the node's agent, Files by the pod's sidecar.
	Observed api.Observed
	Files    api.ObservedFiles
	// SidecarError is why the last call to the pod's sidecar failed; Refused: it
	// answered, and would not.
	SidecarError string
	Refused      bool
}

// Revision is one state that pods can be in.
type Revision struct {
	ID         string
	Containers []api.DesiredContainer
	Files      []api.DesiredFile
}

// Input is everything a plan depends on.
type Input struct {
	// HotPatch is its name, Target what it selects pods by, in words.
	HotPatch, Target string
	Revision         Revision
	// Stable is the last revision that reached every pod; nil: the pods' own
	// images.
	Stable  *Revision
	Rollout api.Rollout
	// Openings are the rollout's windows, read.
	Openings api.Openings
	// Suspended: nothing new may start. SuspendedBy says by what, if not by the
	// HotPatch itself.
	Suspended   bool
	SuspendedBy string
	// WaitsFor are the HotPatches, of those that this one depends on, that are not
	// Complete.
	WaitsFor []string
	// Unjudged: the cluster's admission controls have not admitted the revision's
	// images. Refusal is what they last said against them.
	Unjudged bool
	Refusal  string
	// Deferred is since when the rollout wants pods that it passed over, by name.
	Deferred map[string]time.Time
	// Spec is the digest of what Git says of the HotPatch, Verdict what was
	// recorded, be it of something else.
	Spec    string
	Verdict *api.Verdict
	// Gates are what came of those that were to be judged, now and as Recorded, by
	// their keys.
	Gates map[string]Judged
	// Progress on the rollout's steps, as the last plan had it; nil: none yet.
	Progress *api.Progress
	// Recorded is the Progress that Git holds.
	Recorded *api.Progress
	// Promotion is what a person has let go on.
	Promotion api.Promotion
	Pods      []Pod
	// Now is when all of this was seen.
	Now time.Time
}

// Kind of an action.
type Kind string

// The actions.
const (
	// Prepare asks a pod's node to have the images ready.
	Prepare Kind = "prepare"
	// Apply gives a pod a revision.
	Apply Kind = "apply"
	// Admit has the cluster's admission controls judge the images on one pod,
	// without changing it.
	Admit Kind = "admit"
)

// Action is one thing to do to one pod, with its reason.
type Action struct {
	Kind     Kind
	Pod      string // name
	UID      string
	Revision Revision
	Reason   string
}

// String is how logs, goldens and people see an action.
func (a Action) String() string {
	return fmt.Sprintf("%s %s to %s: %s", a.Kind, a.Pod, a.Revision.ID, a.Reason)
}

// Plan is what to do now and what to say.
type Plan struct {
	Actions []Action
	Counts  api.Counts
	Phase   api.Phase
	Message string
	// Hold is what keeps the rest back, in few words: while the phase is Paused,
	// or a rollout is at one of its steps.
	Hold string
	// Progress on the rollout's steps, to be recorded; nil: it has none.
	Progress *api.Progress
	// Rows of all pods by name, and those of pods where something failed.
	Rows, Failures []api.PodRow
	// Deferred are pods that were passed over, by name; the next plan wants to know.
	Deferred []api.DeferredPod
	// Warnings are things that work, but not as one might expect.
	Warnings []string
	// Again is when to plan again even if nothing happens until then; zero: never.
	Again time.Time
	// Verdict on Revision, old or new, to be recorded; nil: none.
	Verdict *api.Verdict
	// Gates are to be judged now; Results are of those that were and still count, to
	// be recorded. Results of others mean nothing any more.
	Gates   []Gate
	Results *api.GateResults
	// Reached: every pod was observed on Revision, which is now the stable one.
	Reached bool
}
