package reconciler

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/render"
)

// someWishes is a commit of anything.
func someWishes(r *rand.Rand) *render.Result {
	result := &render.Result{}
	for i, name := range targets {
		if r.IntN(10) == 0 {
			continue
		}
		one := item(name, ".")
		one.HotPatch.Spec.Containers[0].Image = "game@sha256:" + strings.Repeat(string("ab"[r.IntN(2)]), 64)
		if r.IntN(10) == 0 {
			one.HotPatch.Spec.Containers[0].Name = "of no pod"
		}
		if r.IntN(6) == 0 {
			one.HotPatch.Spec.Target.Name = targets[r.IntN(len(targets))]
		}
		if tagged(one.HotPatch.Spec.Target.Name) && r.IntN(2) == 0 {
			one.HotPatch.Spec.Containers[0].Image = "game:" + string("ab"[r.IntN(2)])
		}
		one.HotPatch.Spec.Suspend = r.IntN(8) == 0
		one.HotPatch.Spec.Rollout = someRollout(r)
		if i > 0 && r.IntN(3) == 0 {
			one.HotPatch.Spec.DependsOn = []string{targets[r.IntN(i)]}
		}
		result.Items = append(result.Items, one)
	}
	if r.IntN(8) == 0 {
		result.Suspensions = []render.Suspension{{Suspension: api.Suspension{Metadata: api.Metadata{Name: "freeze"}, Spec: api.SuspensionSpec{All: true}}}}
	}
	return result
}

func someRollout(r *rand.Rand) api.Rollout {
	maybe := func() bool { return r.IntN(3) == 0 }
	rollout := api.Rollout{Partition: api.Count(0), MaxConcurrent: api.Count(1 + r.IntN(4)), MaxUnavailable: api.Percent(100)}
	if maybe() {
		rollout.Partition = api.Count(r.IntN(4))
	}
	if maybe() {
		rollout.MinReadySeconds = 1 + r.IntN(600)
	}
	if maybe() {
		rollout.OnFailure, rollout.ProgressDeadlineSeconds = api.FailureRollback, r.IntN(300)
	}
	if maybe() {
		rollout.Window.List = []api.Window{{Schedule: fmt.Sprintf("%d * * * *", r.IntN(60)), Duration: "20m"}}
	}
	if maybe() {
		rollout.Protect = []api.Protection{{Label: "match", Deadline: "30m"}}
	}
	if maybe() {
		moments := []api.Moment{api.MomentBefore, api.MomentBetween, api.MomentAfter, api.MomentPod}
		rollout.Analysis = []api.Analysis{{Name: "mood", When: moments[r.IntN(4):], Interval: "30s", Count: 2, HTTP: &api.HTTPMeasure{URL: "http://x/"}}}
	}
	if maybe() {
		rollout.Steps = []api.Step{{Partition: api.Count(r.IntN(3))}, {Pause: &api.Pause{Duration: "10m"}}, {Partition: api.Count(0)}}
	}
	return rollout
}
