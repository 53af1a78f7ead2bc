package reconciler

import (
	"fmt"
	"maps"
	"slices"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/forge"
)

// fate is what became of the newest commit, by what there is to say of so many
// HotPatches: the worst of them, and how many pods are where they should be. Of a new
// one there is nothing to say before its images and its target are found. What is wrong
// with the commit may be about a HotPatch that nobody knows: what holds it is not built.
func fate(latest map[string]result, wanted int, wrong []error) (forge.State, string) {
	state, pods, total, first, more := forge.Success, 0, 0, "", 0
	for _, key := range slices.Sorted(maps.Keys(latest)) {
		now := latest[key]
		pods, total = pods+now.status.Counts.Updated, total+now.status.Counts.Total
		is := now.fate()
		if is == state && is != forge.Success {
			more++
		}
		if is == forge.Failure && state != forge.Failure || is == forge.Pending && state == forge.Success {
			state, more, first = is, 0, now.status.Metadata.Name
			if words := now.status.Message; words != "" && !now.awaited {
				first += ": " + words
			}
		}
	}
	words := fmt.Sprintf("%d of %d pods", pods, total)
	switch {
	case state != forge.Failure && len(wrong) > 0:
		return forge.Failure, words + "; " + wrong[0].Error()
	case state == forge.Success && len(latest) < wanted:
		return forge.Pending, words + "; not all HotPatches are known yet"
	case state == forge.Success:
		return state, words
	}
	if more > 0 {
		words += fmt.Sprintf(", %d HotPatches", more+1)
	}
	return state, words + "; " + first
}

// fate of one HotPatch.
func (r result) fate() forge.State {
	switch {
	case r.awaited:
		return forge.Pending
	case r.status.Phase == api.PhaseDegraded, r.status.Phase == api.PhaseRolledBack:
		return forge.Failure
	case r.status.Phase == api.PhaseComplete, partitioned(r.status):
		return forge.Success
	}
	return forge.Pending
}

// partitioned: all are there but those that Git has stay where they are.
func partitioned(s api.HotPatchStatus) bool {
	return s.Phase == api.PhasePaused && s.Progress == nil && s.Verdict == nil && s.Counts.Desired > 0 && s.Counts.Updated >= s.Counts.Desired
}
