package reconciler

import (
	"errors"
	"strings"
	"testing"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/kube"
	"hotpatch.dev/hotpatch/reconciler/render"
)

// runningPod is one whose container can be changed.
func runningPod(name string) kube.Pod {
	pod := testPod(name)
	pod.Node, pod.Ready, pod.Containers = "n1", true, []string{"main"}
	pod.ContainerIDs = map[string]string{"main": "containerd://1"}
	return pod
}

func TestSuspendedAsksNothingOfPods(t *testing.T) {
	s, pods := newStage(t), &written{}
	s.cluster, s.executor.pods = &scripted{pods: []kube.Pod{runningPod("game-0")}}, pods
	wish := item("game", ".")
	wish.HotPatch.Spec.Suspend = true
	got := s.commit("c1", render.Result{Items: []render.Item{wish}})["default/game"]
	if got.status.Phase != api.PhasePaused || got.status.Message != "suspended in Git" || !strings.HasSuffix(got.subject, "(suspended)") {
		t.Errorf("%s %q, subject %q", got.status.Phase, got.status.Message, got.subject)
	}
	if len(pods.log) != 0 {
		t.Errorf("written: %q", pods.log)
	}

	s.commit("c2", render.Result{Items: []render.Item{item("game", ".")}})
	if !strings.Contains(strings.Join(pods.log, "\n"), "prepare=") {
		t.Errorf("let go, and still nothing is asked: %q", pods.log)
	}
}

// Whoever brakes in a hurry may break something else in the same commit.
func TestSuspendActsThoughItsCommitCannotBeUsed(t *testing.T) {
	tr := inForce()
	tr.wanted = testWish("c2", "registry.example:5000/game:nope", 3)
	tr.problem = errors.New("image game:nope does not exist")
	if tr.suspended() {
		t.Error("nobody asked to suspend it")
	}
	tr.wanted.HotPatch.Spec.Suspend = true
	if !tr.suspended() {
		t.Error("it goes on")
	}
	if s := tr.status("box", later, nil); s.Message != "image game:nope does not exist; revision r2 stays in force; suspended in Git" {
		t.Errorf("%q", s.Message)
	}

	tr.accepted.HotPatch.Spec.Suspend, tr.wanted.HotPatch.Spec.Suspend = true, false
	if !tr.suspended() {
		t.Error("it was let go by a commit that is not in force")
	}
}
