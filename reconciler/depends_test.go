package reconciler

import (
	"context"
	"strings"
	"testing"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/kube"
	"hotpatch.dev/hotpatch/reconciler/render"
)

// byTarget is a cluster with pods of several targets.
type byTarget struct {
	scripted
	pods map[string][]kube.Pod // by selector
}

// Scope knows of no target nowhere.
func (b *byTarget) Scope(ctx context.Context, namespace string, target api.Target) (kube.Scope, error) {
	if target.Name == "nowhere" {
		return kube.Scope{}, kube.ErrNoTarget
	}
	return b.scripted.Scope(ctx, namespace, target)
}

func (b *byTarget) Pods(scope kube.Scope) ([]kube.Pod, error) { return b.pods[scope.Selector], nil }

func TestOneWaitsForAnother(t *testing.T) {
	s, pods := newStage(t), &written{}
	cluster := &byTarget{pods: map[string][]kube.Pod{"app=db": {runningPod("db-0")}, "app=game": {runningPod("game-0")}}}
	s.cluster, s.executor.pods = cluster, pods
	db, game := item("db", "."), item("game", ".")
	game.HotPatch.Spec.DependsOn = []string{"db"}
	both := render.Result{Items: []render.Item{db, game}}
	s.commit("c1", both)
	// Both nodes say that they have the images; from here only db stands in the way.
	for selector, name := range map[string]string{"app=db": "default/db", "app=game": "default/game"} {
		for i := range cluster.pods[selector] {
			pod := &cluster.pods[selector][i]
			for _, c := range s.tracked[name].accepted.revision.Containers {
				pod.Observed.Prepared = []api.PreparedImage{{Container: c.Name, Image: c.Image, State: api.StateReady}}
			}
		}
	}
	got := s.commit("c1", both)["default/game"]
	if got.status.Phase != api.PhasePaused || got.status.Message != "waits until these are Complete: db" || !strings.HasSuffix(got.subject, "(waits for db)") {
		t.Errorf("%s %q, subject %q", got.status.Phase, got.status.Message, got.subject)
	}
	if log := strings.Join(pods.log, "\n"); !strings.Contains(log, "db-0@7 desired=") || strings.Contains(log, "game-0@7 desired=") {
		t.Errorf("written: %s", log)
	}

	cluster.pods["app=db"] = []kube.Pod{on(runningPod("db-0"), s.tracked["default/db"].accepted.revision, noon)}
	s.commit("c1", both)
	if log := strings.Join(pods.log, "\n"); !strings.Contains(log, "game-0@7 desired=") {
		t.Errorf("db is Complete, and game still waits: %s", log)
	}
}

// A record tells of what was in force when it was written.
func TestFinishedIsWhatTheNewestCommitAsksFor(t *testing.T) {
	tr := inForce()
	tr.record.Phase = api.PhaseComplete
	if !tr.finished() {
		t.Error("it is Complete")
	}
	tr.wanted = testWish("c2", "registry.example:5000/game:v3", 3)
	if tr.finished() {
		t.Error("Git asks for v3 meanwhile")
	}
	tr = inForce()
	tr.record.Phase = api.PhaseComplete
	tr.accepted.revision.ID = "r3"
	if tr.finished() {
		t.Error("nobody has looked at r3 yet")
	}
}

// Something that becomes Complete after those were planned that wait for it brings
// another pass.
func TestWhatWaitsIsPlannedAgain(t *testing.T) {
	s := newStage(t)
	a, z := item("a", "."), item("z", ".")
	a.HotPatch.Spec.DependsOn = []string{"z"}
	s.commit("c1", render.Result{Items: []render.Item{a, z}})
	first, last := s.tracked["default/a"], s.tracked["default/z"]
	first.waitsFor = []string{"z"}
	s.trigger.take()
	s.goOn()
	if s.trigger.take() != 0 {
		t.Error("nothing has changed")
	}
	last.record.Phase = api.PhaseComplete
	s.goOn()
	if s.trigger.take() != workEnded {
		t.Error("nobody looks again")
	}
}
