package api

import (
	"slices"
	"strings"
	"time"
)

// Phase of a HotPatch on one cluster.
type Phase string

// The phases.
const (
	PhasePending     Phase = "Pending"     // accepted, nothing has changed yet
	PhaseProgressing Phase = "Progressing" // pods are changing
	PhasePaused      Phase = "Paused"      // as far as Git lets it; Message says what holds
	PhaseComplete    Phase = "Complete"    // every pod observed on the revision
	PhaseDegraded    Phase = "Degraded"    // something failed; Message says what
	PhaseRolledBack  Phase = "RolledBack"  // back on the stable revision
)

// HotPatchStatus is what was observed of one HotPatch on one cluster, as it is
// committed back to Git.
type HotPatchStatus struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   Metadata `json:"metadata"`
	Cluster    string   `json:"cluster"`
	// Source is the commit that asked for it.
	Source   Source `json:"source"`
	Revision string `json:"revision,omitempty"`
	Phase    Phase  `json:"phase"`
	Message  string `json:"message,omitempty"`
	// Since is when the revision or the phase last changed.
	Since  time.Time `json:"since"`
	Counts Counts    `json:"counts"`
	// Images by container, as Git named them when Revision was made. While a
	// HotPatch names the same image, it means the same digest.
	Images map[string]string `json:"images,omitempty"`
	// Containers and Files of Revision, by digest.
	Containers []DesiredContainer `json:"containers,omitempty"`
	Files      []DesiredFile      `json:"files,omitempty"`
	// Stable is the last revision that reached every pod.
	Stable *StableRevision `json:"stable,omitempty"`
	// Verdict on Revision, if there is one.
	Verdict *Verdict `json:"verdict,omitempty"`
	// Progress on the rollout's steps, if it has some.
	Progress *Progress `json:"progress,omitempty"`
	// Gates are what came of the rollout's gates, of those that still count.
	Gates *GateResults `json:"gates,omitempty"`
	// Restore is whose pods go back to their own images once Git asks for nothing of
	// them any more; nil: they stay as they are.
	Restore *Target `json:"restore,omitempty"`
	// Pods are rows while there are at most MaxPodRows; Failures are always
	// complete.
	Pods     []PodRow `json:"pods,omitempty"`
	Failures []PodRow `json:"failures,omitempty"`
	// Deferred are pods that the rollout passed over because they are, or were,
	// protected, by name: deadlines count from here.
	Deferred []DeferredPod `json:"deferred,omitempty"`
	// SuspendedBy are the Suspensions, by name, that hold this HotPatch.
	SuspendedBy []string `json:"suspendedBy,omitempty"`
	// Warnings are things that work, but not as one might expect.
	Warnings []string `json:"warnings,omitempty"`
}

// MaxPodRows is how many pods a status lists by name.
const MaxPodRows = 100

// Source is where a desired state came from: the commit that asked for it, who wrote
// that, and the file.
type Source struct {
	Commit string `json:"commit"`
	Author string `json:"author,omitempty"`
	Path   string `json:"path,omitempty"`
}

// Counts are BCS's columns. Desired is how many pods should be on the
// revision, Updated how many were observed there, UpdatedReady how many of
// those are Ready.
type Counts struct {
	Desired      int `json:"desired"`
	Updated      int `json:"updated"`
	UpdatedReady int `json:"updatedReady"`
	Ready        int `json:"ready"`
	Total        int `json:"total"`
}

// StableRevision is everything needed to go back to a revision.
type StableRevision struct {
	Revision string `json:"revision"`
	// Source is a commit that asked for it.
	Source Source `json:"source,omitzero"`
	// Images by container, as Git named them then.
	Images     map[string]string  `json:"images,omitempty"`
	Containers []DesiredContainer `json:"containers,omitempty"`
	Files      []DesiredFile      `json:"files,omitempty"`
}

// Verdict ends the attempt at a revision. It holds until Git says anything else
// of the HotPatch: the same is not tried again.
type Verdict struct {
	// Do is what follows: Rollback takes pods back to the stable revision, Pause
	// leaves them where they are.
	Do FailurePolicy `json:"do"`
	// Revision that it is about, and Spec, the digest of the spec that asked for it.
	Revision string `json:"revision"`
	Spec     string `json:"spec"`
	Reason   string `json:"reason"`
	// Inconclusive: nothing has failed, and nobody knows whether all is well.
	Inconclusive bool      `json:"inconclusive,omitempty"`
	Since        time.Time `json:"since"`
}

// GateResults are what came of gates that were measured to the end: whoever leads
// next neither measures them again nor forgets who failed. A gate is an analysis, its
// moment and, of a pod, the beginning of its UID: "smoke pod 5f3c09ab-12ef".
type GateResults struct {
	// For is what they were judged for: the revision, and the digest of the spec. For
	// anything else they mean nothing.
	For    string   `json:"for"`
	Passed []string `json:"passed,omitempty"`
	// Failed, and why.
	Failed map[string]string `json:"failed,omitempty"`
}

// DeferredPod is one that the rollout wants and may not have.
type DeferredPod struct {
	Name string `json:"name"`
	// Since is when the rollout of this revision first wanted it, to the second.
	Since time.Time `json:"since"`
}

// DeferredSince is, by name, since when the rollout of a revision wants pods that
// it passed over. Another revision is another rollout.
func (s HotPatchStatus) DeferredSince(revision string) map[string]time.Time {
	if s.Revision != revision || len(s.Deferred) == 0 {
		return nil
	}
	since := map[string]time.Time{}
	for _, d := range s.Deferred {
		since[d.Name] = d.Since
	}
	return since
}

// Version is what people call the revision: the tag of its first image, or the version
// of its first file. "" if nothing says.
func (s HotPatchStatus) Version() string {
	for _, c := range s.Containers {
		return imageVersion(s.Images[c.Name])
	}
	for _, f := range s.Files {
		return f.Version
	}
	return ""
}

func imageVersion(image string) string {
	if image == "" {
		return "their own image"
	}
	name := image[strings.LastIndexByte(image, '/')+1:]
	if _, digest, ok := strings.Cut(name, "@sha256:"); ok {
		return digest[:min(len(digest), 12)]
	}
	if _, tag, ok := strings.Cut(name, ":"); ok {
		return tag
	}
	return "latest"
}

// Pinned is the digest that the image of a container means, if Git named it so in
// the revision that is recorded, or in the stable one: whoever goes back must find
// what was there, whatever has become of the tag. "" if it means none yet.
func (s HotPatchStatus) Pinned(c Container) string {
	if digest := pinned(s.Images, s.Containers, c); digest != "" || s.Stable == nil {
		return digest
	}
	return pinned(s.Stable.Images, s.Stable.Containers, c)
}

func pinned(images map[string]string, containers []DesiredContainer, c Container) string {
	i := slices.IndexFunc(containers, func(known DesiredContainer) bool { return known.Name == c.Name })
	if i < 0 || images[c.Name] != c.Image {
		return ""
	}
	return containers[i].Image
}

// Progress is how far a rollout has come on its steps. Pods are only changed as
// far as a Progress in Git allows: after a crash nothing is ahead of it.
type Progress struct {
	// Revision that is rolled out; that of another one means nothing.
	Revision string `json:"revision"`
	// Step it is at, from 1; one more than there are when all are passed.
	Step int `json:"step"`
	// Passed is the StepsID of the steps before. Where Git has others there, the
	// rollout begins at the first step again.
	Passed string `json:"passed,omitempty"`
	// Since is when the pause it is at began, of one with a duration.
	Since time.Time `json:"since,omitzero"`
}

// Same tells whether two rollouts are equally far; nil is one without steps.
func (p *Progress) Same(other *Progress) bool {
	return p == other || p != nil && other != nil && *p == *other
}

// PodRow is one pod in a status. No container IDs and no times: a row changes
// only when its meaning does.
type PodRow struct {
	Name     string `json:"name"`
	Node     string `json:"node,omitempty"`
	Revision string `json:"revision,omitempty"`
	State    string `json:"state"`
	Ready    bool   `json:"ready"`
	Message  string `json:"message,omitempty"`
	// Reason why it was told to change, while it does.
	Reason string `json:"reason,omitempty"`
}
