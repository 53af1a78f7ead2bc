package reconciler

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/kube"
	"hotpatch.dev/hotpatch/reconciler/plan"
	"hotpatch.dev/hotpatch/reconciler/render"
)

// on has a pod told of a revision, and seen there at a time.
func on(pod kube.Pod, r plan.Revision, at time.Time) kube.Pod {
	pod.ReadySince = at
	pod.Desired = api.Desired{HotPatch: "game", Revision: r.ID, Containers: r.Containers}
	pod.Observed.Revision = r.ID
	for _, c := range r.Containers {
		pod.Observed.Containers = append(pod.Observed.Containers, api.ObservedContainer{
			Name: c.Name, ContainerID: pod.ContainerIDs[c.Name], Image: c.Image, State: api.StatePatched, Time: at})
	}
	return pod
}

// Nothing else happens that would bring a pass.
func TestTimeBringsThePassThatAPlanAskedFor(t *testing.T) {
	s, pods := newStage(t), &written{}
	cluster := &scripted{}
	s.cluster, s.executor.pods = cluster, pods
	wish := item("game", ".")
	wish.HotPatch.Spec.Rollout.MinReadySeconds = 1
	s.commit("c1", render.Result{Items: []render.Item{wish}})
	revision := s.tracked["default/game"].accepted.revision
	cluster.pods = []kube.Pod{on(runningPod("game-0"), revision, time.Now()), runningPod("game-1")}

	s.moved.add(kube.Scope{})
	s.pass(context.Background(), podsChanged)
	s.jobs.wait()
	if len(pods.log) > 0 {
		t.Fatalf("game-1 does not wait: %q", pods.log)
	}
	var why cause
	for why&timeCame == 0 { // it also came to be in force, which has others looked at
		if len(pods.log) > 0 {
			t.Fatalf("game-1 does not wait: the pass for %q wrote %q", why.names(), pods.log)
		}
		select {
		case <-s.trigger.wake:
		case <-time.After(10 * time.Second):
			t.Fatal("no pass after a second")
		}
		why = s.trigger.take()
		s.pass(context.Background(), why)
		s.jobs.wait()
	}
	told := func(line string) bool { return strings.HasPrefix(line, "game-1@7 desired=") }
	if !slices.ContainsFunc(pods.log, told) {
		t.Errorf("the pass for %q wrote %q", why.names(), pods.log)
	}
}

// What waits for a window is looked at when it opens.
func TestClosedWindowAsksNothingOfPods(t *testing.T) {
	s, pods := newStage(t), &written{}
	s.cluster, s.executor.pods = &scripted{pods: []kube.Pod{runningPod("game-0")}}, pods
	wish := item("game", ".")
	opens := time.Now().UTC().Add(12 * time.Hour)
	wish.HotPatch.Spec.Rollout.Window.List = []api.Window{{Schedule: fmt.Sprintf("0 %d * * *", opens.Hour()), Duration: "1h"}}
	got := s.commit("c1", render.Result{Items: []render.Item{wish}})["default/game"]
	if got.status.Phase != api.PhasePaused || !strings.HasSuffix(got.subject, "(outside of its window)") {
		t.Errorf("%s %q, subject %q", got.status.Phase, got.status.Message, got.subject)
	}
	if len(pods.log) != 0 {
		t.Errorf("written: %q", pods.log)
	}
	if s.alarm.timer == nil || !s.alarm.timer.Stop() {
		t.Error("nobody will look again")
	}
}
