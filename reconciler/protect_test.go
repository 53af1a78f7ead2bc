package reconciler

import (
	"strings"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/kube"
	"hotpatch.dev/hotpatch/reconciler/render"
)

// A deadline counts from the record, whoever leads.
func TestDeadlineOfAProtectedPodSurvivesARestart(t *testing.T) {
	pod := runningPod("game-0")
	pod.Labels = map[string]string{"state": "playing"}
	pod.Created = noon
	wish := item("game", ".")
	wish.HotPatch.Spec.Rollout.Protect = []api.Protection{{Label: "state", Deadline: "1h"}}
	commit := render.Result{Items: []render.Item{wish}}
	pods := &written{}
	start := func(record api.HotPatchStatus) stage {
		s := newStage(t)
		s.cluster, s.executor.pods = &scripted{pods: []kube.Pod{pod}}, pods
		s.tracked["default/game"] = &tracked{key: "default/game", record: record}
		return s
	}

	first := start(api.HotPatchStatus{})
	first.commit("c1", commit)
	for _, c := range first.tracked["default/game"].accepted.revision.Containers {
		pod.Observed.Prepared = []api.PreparedImage{{Container: c.Name, Image: c.Image, State: api.StateReady}}
	}
	first.cluster = &scripted{pods: []kube.Pod{pod}}
	record := first.commit("c1", commit)["default/game"].status
	if record.Message != "1 pod is protected by label state: game-0" || len(record.Deferred) != 1 || time.Since(record.Deferred[0].Since) > time.Minute {
		t.Fatalf("%s %q, deferred %v", record.Phase, record.Message, record.Deferred)
	}

	record.Deferred[0].Since = time.Now().Add(-59 * time.Minute).Truncate(time.Second)
	second := start(record)
	if after := second.commit("c1", commit)["default/game"].status; !after.Deferred[0].Since.Equal(record.Deferred[0].Since) || strings.Contains(strings.Join(pods.log, ""), "desired=") {
		t.Errorf("deferred %v, written %q", after.Deferred, pods.log)
	}
	if second.alarm.timer == nil || !second.alarm.timer.Stop() {
		t.Error("nobody will look again")
	}

	record.Deferred[0].Since = time.Now().Add(-61 * time.Minute).Truncate(time.Second)
	start(record).commit("c1", commit)
	if !strings.Contains(strings.Join(pods.log, ""), "desired=") {
		t.Errorf("the deadline has passed, and nobody is told: %q", pods.log)
	}
}
