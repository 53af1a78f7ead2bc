package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

const opsState = "game.kruise.io/gs-opsState"

// state labels a pod as a game platform does when a match begins, and ends.
func (s *scene) state(pod, value string) {
	s.Helper()
	patch := fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, opsState, value)
	_, err := on.Kube.CoreV1().Pods(stage.Namespace).Patch(s.ctx, pod, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	s.must(err)
}

// A match in progress is not disturbed; everybody else gets the release, and the
// match's server when it has ended.
func TestAMatchInProgressIsPassedOver(t *testing.T) {
	s := open(t)
	pods, err := on.Pods(s.ctx, "game-server")
	s.must(err)
	playing := pods[0].Name
	s.state(playing, "Allocated")
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.edit(stage.Policy, "  rollout:\n", "  rollout:\n    protect: [{label: "+opsState+", values: [Allocated], deadline: 1h}]\n")
	s.push("Release v2, but not into matches")
	status := s.settled("game-server", api.PhasePaused, 7, 8)
	if want := "1 pod is protected by label " + opsState + ": " + playing; status.Message != want {
		t.Errorf("the record says %q, want %q", status.Message, want)
	}
	if len(status.Deferred) != 1 || status.Deferred[0].Name != playing {
		t.Errorf("deferred: %v", status.Deferred)
	}
	s.plans(0, "1 pod is protected by label", "nothing would change now")

	s.state(playing, "None")
	s.settled("game-server", api.PhaseComplete, 8, 8)
}

// Who waits for ever waits until the deadline.
func TestADeadlineEndsAProtection(t *testing.T) {
	s := open(t)
	pods, err := on.Pods(s.ctx, "game-server")
	s.must(err)
	playing := pods[3].Name
	s.state(playing, "Allocated")
	defer s.state(playing, "None")
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.edit(stage.Policy, "  rollout:\n", "  rollout:\n    protect: [{label: "+opsState+", values: [Allocated], deadline: 10s}]\n")
	s.push("Release v2, into matches if need be")
	s.settled("game-server", api.PhasePaused, 7, 8)
	s.settled("game-server", api.PhaseComplete, 8, 8)
}

// The page waits for the servers, also when both come with one push.
func TestOneHotPatchWaitsForAnother(t *testing.T) {
	s := open(t)
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.edit(stage.Policy, "partition: 0", "partition: 3")
	s.edit(stage.Filing, "  rollout:\n", "  dependsOn: [game-server]\n  rollout:\n")
	s.edit(stage.Filing, "version: v1", "version: v2")
	s.edit(stage.Page, "</body>", "<p>v2</p></body>")
	s.push("Release servers and page")
	s.settled("game-server", api.PhasePaused, 5, 8)
	status := s.settled("game-2048", api.PhasePaused, 0, 2)
	if status.Message != "waits until these are Complete: game-server" {
		t.Errorf("the record says %q", status.Message)
	}

	s.edit(stage.Policy, "partition: 3", "partition: 0")
	s.push("Release the servers to all")
	s.settled("game-server", api.PhaseComplete, 8, 8)
	s.settled("game-2048", api.PhaseComplete, 2, 2)
}

// One file holds a whole namespace, and lets it go.
func TestSuspensionHoldsANamespace(t *testing.T) {
	s := open(t)
	before := s.lives()
	freeze := filepath.Join(s.repo.Dir, "freeze.yaml")
	s.must(os.WriteFile(freeze, []byte(`apiVersion: hotpatch.dev/v1alpha1
kind: Suspension
metadata: {name: freeze}
spec: {namespaces: [default], reason: championship until Sunday}
`), 0o644))
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.push("Release v2 after the championship")
	const held = "suspended in Git by Suspension freeze (championship until Sunday)"
	for name, total := range map[string]int{"game-server": 8, "game-2048": 2} {
		s.must(stage.Eventually(s.ctx, limit, func(ctx context.Context) error {
			status, err := s.repo.Status(ctx, name)
			if err == nil && (status.Phase != api.PhasePaused || status.Message != held || status.Counts.Total != total) {
				err = fmt.Errorf("%s is %s: %s", name, status.Phase, status.Message)
			}
			return err
		}))
	}
	s.nobodyIsAsked()
	s.must(os.Remove(freeze))
	s.push("The championship is over")
	s.settled("game-server", api.PhaseComplete, 8, 8)
	s.settled("game-2048", api.PhaseComplete, 2, 2)
	s.must(stage.SameLives(before, s.lives()))
}

// The same by commands, for a namespace and for all.
func TestCommandsSuspendMany(t *testing.T) {
	s := open(t)
	for _, over := range [][]string{{"--namespace", stage.Namespace}, {"--all"}} {
		s.hotpatch(append([]string{"suspend", "--push", "--reason", "championship"}, over...)...)
		s.edit(stage.Images, "newTag: v1", "newTag: v2")
		s.push("Release v2 after the championship")
		if status := s.settled("game-server", api.PhasePaused, 0, 8); !strings.HasSuffix(status.Message, "(championship)") {
			t.Errorf("%v: the record says %q", over, status.Message)
		}
		s.nobodyIsAsked()
		s.hotpatch(append([]string{"resume", "--push"}, over...)...)
		s.settled("game-server", api.PhaseComplete, 8, 8)
		s.must(s.repo.Revert(s.ctx, "HEAD~1"))
		s.settled("game-server", api.PhaseComplete, 8, 8)
	}
}

// Pods that are started on what is released, in its midst, are there already.
func TestScaleOutOnTheNewImageCountsAtOnce(t *testing.T) {
	s := open(t)
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.edit(stage.Policy, "partition: 0", "partition: 3")
	s.push("Release v2 to five servers")
	s.settled("game-server", api.PhasePaused, 5, 8)
	pods, err := on.Pods(s.ctx, "game-server")
	s.must(err)
	born := pods[0].DeepCopy()
	born.ObjectMeta = metav1.ObjectMeta{Name: "born-right", Namespace: stage.Namespace, Labels: map[string]string{"app": "game-server"}}
	born.Spec.NodeName = ""
	born.Spec.Containers[0].Image = "registry.example:5000/game-server:v2"
	_, err = on.Kube.CoreV1().Pods(stage.Namespace).Create(s.ctx, born, metav1.CreateOptions{})
	s.must(err)
	defer func() {
		now := int64(0)
		s.must(on.Kube.CoreV1().Pods(stage.Namespace).Delete(s.ctx, "born-right", metav1.DeleteOptions{GracePeriodSeconds: &now}))
	}()
	// Without a template's hash among its labels the Deployment does not adopt it.
	status := s.settled("game-server", api.PhasePaused, 6, 9)
	for _, row := range status.Pods {
		if row.Name == "born-right" && row.State != "Born" && !strings.HasPrefix(row.State, string(api.StateRestored)) {
			t.Errorf("it is %s: something was swapped", row.State)
		}
	}
}
