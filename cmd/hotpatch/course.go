package main

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/plan"
)

// course is which pods would change, in their order, once nothing holds the rollout
// back any more.
type course struct {
	// SeenIn is cluster or record.
	SeenIn string    `json:"seenIn"`
	Total  int       `json:"total"`
	Change int       `json:"change"`
	Order  []podTurn `json:"order,omitempty"` // nil: a record of many pods names none
}

// podTurn is one pod that would change. From is "" for its own image, To for a
// revision whose digests are not known.
type podTurn struct {
	Name   string `json:"name"`
	Node   string `json:"node,omitempty"`
	From   string `json:"from"`
	To     string `json:"to"`
	Reason string `json:"reason"`
}

// courseOf follows a wish to its end, for the pods that were seen.
func courseOf(w *wished, pods []plan.Pod, seenIn string) *course {
	input := plan.Input{HotPatch: w.HotPatch.Metadata.Name, Revision: w.revision, Rollout: w.HotPatch.Spec.Rollout, Stable: stableIn(w.known), Pods: pods}
	seen := map[string]plan.Pod{}
	c := &course{SeenIn: seenIn}
	for _, p := range pods {
		seen[p.UID] = p
		if !p.Gone {
			c.Total++
		}
	}
	for _, a := range plan.Course(input) {
		c.Change++
		to := a.Revision.ID
		if w.err != nil && to == w.revision.ID {
			to = ""
		}
		if a.Pod != "" {
			c.Order = append(c.Order, podTurn{a.Pod, seen[a.UID].Node, seen[a.UID].Observed.Revision, to, a.Reason})
		}
	}
	return c
}

func stableIn(known api.HotPatchStatus) *plan.Revision {
	if known.Stable == nil {
		return nil
	}
	return &plan.Revision{ID: known.Stable.Revision, Containers: known.Stable.Containers, Files: known.Stable.Files}
}

// recordedPods are the pods that a record tells of, as far as it does: of too many
// it has only the number.
func recordedPods(known api.HotPatchStatus) (pods []plan.Pod) {
	for _, row := range known.Pods {
		pods = append(pods, recordedPod(known, row))
	}
	for i := len(pods); i < known.Counts.Total; i++ {
		pods = append(pods, plan.Pod{UID: fmt.Sprint("unnamed ", i), Ready: true, Ordinal: -1})
	}
	return pods
}

func recordedPod(known api.HotPatchStatus, row api.PodRow) plan.Pod {
	p := plan.Pod{Name: row.Name, UID: row.Name, Node: row.Node, Ready: row.Ready, Ordinal: -1, ContainerIDs: map[string]string{}}
	on := plan.Revision{ID: known.Revision, Containers: known.Containers, Files: known.Files}
	if stable := stableIn(known); stable != nil && stable.ID == row.Revision {
		on = *stable
	}
	if row.Revision == "" || row.Revision != on.ID || row.State == string(api.StateFailed) {
		p.Observed.Revision = row.Revision
		return p
	}
	p.Desired.Revision, p.Observed.Revision = row.Revision, row.Revision
	for _, c := range on.Containers {
		p.ContainerIDs[c.Name] = row.Name
		p.Observed.Containers = append(p.Observed.Containers, api.ObservedContainer{Name: c.Name, ContainerID: row.Name, Image: c.Image, State: api.StatePatched})
	}
	for _, f := range on.Files {
		p.Files.Files = append(p.Files.Files, api.ObservedFile{Path: f.Path, Version: f.Version, SHA256: f.SHA256, State: api.FileUpdated})
	}
	return p
}

// numbered gives pods of a StatefulSet their ordinals, which are in their names.
func numbered(pods []plan.Pod, target api.Target) []plan.Pod {
	for i, p := range pods {
		if n, err := strconv.Atoi(strings.TrimPrefix(p.Name, target.Name+"-")); target.Kind == "StatefulSet" && err == nil {
			pods[i].Ordinal = n
		}
	}
	return pods
}

// holds is what keeps a rollout from going at once, in words.
func holds(w *wished) (words []string) {
	spec := w.HotPatch.Spec
	if spec.Suspend || w.suspendedBy != "" {
		words = append(words, strings.TrimSuffix("suspended by "+cmp.Or(w.suspendedBy, "spec.suspend"), " "))
	}
	if len(spec.DependsOn) > 0 {
		words = append(words, "waits until these are Complete: "+strings.Join(spec.DependsOn, ", "))
	}
	if !spec.Rollout.Window.IsZero() {
		words = append(words, "begins in its windows only")
	}
	if steps := spec.Rollout.Steps; len(steps) > 0 {
		words = append(words, "goes by steps: "+stepWords(steps))
	}
	for _, a := range spec.Rollout.Analysis {
		words = append(words, fmt.Sprintf("is judged by analysis %s", a.Name))
	}
	for _, p := range spec.Rollout.Protect {
		words = append(words, "passes over pods protected by "+p.String())
	}
	return words
}

func stepWords(steps []api.Step) string {
	var words []string
	for _, s := range steps {
		switch {
		case s.Analysis != nil:
			words = append(words, "analysis "+s.Analysis.Name)
		case s.Pause == nil:
			words = append(words, "partition "+s.Partition.String())
		case s.Pause.Duration == "":
			words = append(words, "pause for a person")
		default:
			words = append(words, "pause "+s.Pause.Duration)
		}
	}
	return strings.Join(words, ", ")
}
