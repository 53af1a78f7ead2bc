package render

import (
	"fmt"
	"slices"
	"strings"

	"hotpatch.dev/hotpatch/api"
)

// checkDependencies refuses HotPatches that wait for one that is not there, or, by
// way of others or not, for themselves. One that is there and cannot be used can
// be waited for; and where something does not build nobody knows what is in it.
func (r *rendering) checkDependencies() {
	waits := map[string][]string{}
	for _, item := range r.result.Items {
		waits[item.HotPatch.Key()] = item.HotPatch.Dependencies()
	}
	wrong := map[string]error{}
	for _, item := range r.result.Items {
		for i, other := range item.HotPatch.Dependencies() {
			if why := r.unfit(waits, item.HotPatch.Key(), other); why != "" {
				wrong[item.HotPatch.Key()] = &api.Error{File: item.File, Object: "HotPatch " + item.HotPatch.Key(), Field: fmt.Sprintf("spec.dependsOn[%d]", i), Reason: why}
				break
			}
		}
	}
	for _, item := range r.result.Items {
		if err := wrong[item.HotPatch.Key()]; err != nil {
			r.result.Errors = append(r.result.Errors, err)
			r.result.Broken[item.HotPatch.Key()] = err
		}
	}
	r.result.Items = slices.DeleteFunc(r.result.Items, func(i Item) bool { return wrong[i.HotPatch.Key()] != nil })
}

// unfit says why one HotPatch cannot wait for another; "" if it can.
func (r *rendering) unfit(waits map[string][]string, one, other string) string {
	_, usable := waits[other]
	if !usable && r.result.Broken[other] == nil && len(r.result.Failed) == 0 {
		return fmt.Sprintf("there is no HotPatch %s here; correct the name, or push it", other)
	}
	if way := wayTo(waits, other, one, nil); way != nil {
		return "nobody could begin: " + strings.Join(append([]string{one}, way...), " waits for ")
	}
	return ""
}

// wayTo lists who waits for whom from one HotPatch to another, nil if that leads
// nowhere. Whoever was passed leads there no other way.
func wayTo(waits map[string][]string, from, to string, passed map[string]bool) []string {
	if from == to {
		return []string{to}
	}
	if passed == nil {
		passed = map[string]bool{}
	}
	passed[from] = true
	for _, next := range waits[from] {
		if passed[next] {
			continue
		}
		if way := wayTo(waits, next, to, passed); way != nil {
			return append([]string{from}, way...)
		}
	}
	return nil
}
