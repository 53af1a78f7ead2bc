package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// What is asked for, and of how many, changes while pods are changing: fewer stay, and
// more; pods die, are added and taken away. The partition is of the pods that there are,
// and who died or was added counts like any other.
func TestPartitionAndPodsChangeMidway(t *testing.T) {
	s := open(t)
	t.Cleanup(func() { s.scale(8) })
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.edit(stage.Policy, "partition: 0 ", `partition: "75%" `)
	s.edit(stage.Policy, "maxConcurrent: 25%", "maxConcurrent: 1\n    minReadySeconds: 4")
	s.push("Release v2 to a quarter, one by one")
	s.midway(1, 2, 8)
	s.edit(stage.Policy, `partition: "75%"`, `partition: "25%"`)
	s.push("No, to three quarters")
	s.midway(2, 6, 8)
	s.killOne()
	s.scale(10)
	s.midway(2, 7, 10) // 25% of ten are three
	s.edit(stage.Policy, `partition: "25%"`, `partition: "90%"`)
	s.push("No, to one")
	s.settled("game-server", api.PhasePaused, 1, 10)

	s.edit(stage.Policy, `partition: "90%"`, "partition: 0")
	s.push("To all")
	s.midway(2, 7, 10)
	s.scale(7)
	s.midway(1, 7, 7)
	s.edit(stage.Policy, "minReadySeconds: 4", "minReadySeconds: 0")
	s.push("Make haste")
	s.settled("game-server", api.PhaseComplete, 7, 7)
}

// midway waits until v2 is on so many of all pods, but on fewer than others, and going on.
func (s *scene) midway(from, below, total int) {
	s.Helper()
	s.must(stage.Eventually(s.ctx, limit, func(ctx context.Context) error {
		status, err := s.repo.Status(ctx, "game-server")
		if err != nil {
			return err
		}
		c := status.Counts
		if strings.HasSuffix(status.Images["main"], ":v2") && status.Phase == api.PhaseProgressing && from <= c.Updated && c.Updated < below && c.Total == total {
			return nil
		}
		return fmt.Errorf("%s, %d of %d on %v: %s; want %d or more of %d, and fewer than %d", status.Phase, c.Updated, c.Total, status.Images, status.Message, from, total, below)
	}))
}

// killOne has a pod die, and another take its place.
func (s *scene) killOne() {
	s.Helper()
	pods, err := on.Pods(s.ctx, "game-server")
	s.must(err)
	now := int64(0)
	s.must(on.Kube.CoreV1().Pods(stage.Namespace).Delete(s.ctx, pods[0].Name, metav1.DeleteOptions{GracePeriodSeconds: &now}))
}

// scale has so many game servers run; also when the test is over.
func (s *scene) scale(replicas int) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for _, args := range [][]string{
		{"-n", stage.Namespace, "scale", "deployment/game-server", fmt.Sprintf("--replicas=%d", replicas)},
		{"-n", stage.Namespace, "rollout", "status", "deployment/game-server", "--timeout=50s"},
	} {
		if _, err := on.Kubectl(ctx, args...); err != nil {
			s.Error(err)
		}
	}
	err := stage.Eventually(ctx, limit, func(ctx context.Context) error { // those that are too many are gone
		pods, err := on.Pods(ctx, "game-server")
		if err == nil && len(pods) != replicas {
			err = fmt.Errorf("there are %d game servers, want %d", len(pods), replicas)
		}
		return err
	})
	if err != nil {
		s.Error(err)
	}
}

// One failed server stops nobody; the second has all of them taken back.
func TestThresholdOfFailuresRollsBack(t *testing.T) {
	s := open(t)
	before := s.lives()
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.edit(stage.Policy, "maxConcurrent: 25%", `maxConcurrent: 3
    maxUnavailable: 3
    onFailure: Rollback
    failureThreshold: 2
    analysis:
    - {name: version, when: [pod], http: {port: 8080, path: /state}, success: result.version == "v1", failure: result.version == "v2"}`)
	s.push("Release v2, which is not v1")
	status := s.settled("game-server", api.PhaseRolledBack, 0, 8)
	if v := status.Verdict; v == nil || !strings.Contains(v.Reason, " pods failed; pod game-server-") || !strings.Contains(v.Reason, "analysis version failed") {
		t.Errorf("the verdict is %+v", v)
	}
	s.must(stage.SameLives(before, s.lives()))
}

// The machine takes a release back and waits for the end of a match; meanwhile a
// person reverts it. That is the end of the matter: nothing is rolled back any more.
func TestRevertEndsARollback(t *testing.T) {
	s := open(t)
	before := s.lives()
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.edit(stage.Policy, "partition: 0 ", "partition: 7 ")
	s.push("Release v2 to one")
	s.settled("game-server", api.PhasePaused, 1, 8)
	playing := s.firstOnV2()
	s.state(playing, "Allocated")
	t.Cleanup(func() { s.unlabel(playing, opsState) })
	s.edit(stage.Policy, "partition: 7 ", "partition: 0 ")
	s.edit(stage.Policy, "  rollout:\n", `  rollout:
    onFailure: Rollback
    protect: [{label: `+opsState+`, values: [Allocated]}]
    analysis:
    - {name: more, when: [after], kubernetes: {apiVersion: apps/v1, kind: Deployment, name: game-server, field: status.readyReplicas}, success: result > 8}
`)
	s.push("Release v2 to all, if there are nine")
	s.must(stage.Eventually(s.ctx, limit, func(ctx context.Context) error {
		status, err := s.repo.Status(ctx, "game-server")
		if err == nil && (status.Verdict == nil || status.Phase == api.PhaseRolledBack || status.Counts.Updated != 1) {
			err = fmt.Errorf("%s, %d on v2, verdict %+v; want all taken back but one", status.Phase, status.Counts.Updated, status.Verdict)
		}
		return err
	}))

	s.must(s.repo.Revert(s.ctx, "HEAD~2..HEAD"))
	s.state(playing, "None")
	status := s.settled("game-server", api.PhaseComplete, 8, 8)
	if status.Verdict != nil {
		t.Errorf("the verdict stands: %+v", status.Verdict)
	}
	s.must(stage.SameLives(before, s.lives()))
	for pod, version := range s.served("game-server") {
		if version != "v1" {
			t.Errorf("pod %s is served by %s", pod, version)
		}
	}
}

// firstOnV2 is a server that was seen on v2.
func (s *scene) firstOnV2() (pod string) {
	s.Helper()
	for pod, version := range s.served("game-server") {
		if version == "v2" {
			return pod
		}
	}
	s.Fatal("nobody is on v2")
	return ""
}

// served is which version each game server says that it is.
func (s *scene) served(app string) map[string]string {
	s.Helper()
	pods, err := on.Pods(s.ctx, app)
	s.must(err)
	versions := map[string]string{}
	for _, pod := range pods {
		a, err := stage.Ask(pod.Name, pod.Status.PodIP+":7777")
		s.must(err)
		versions[pod.Name] = a.Version
	}
	return versions
}

// unlabel takes a label off a pod, if there still is one.
func (s *scene) unlabel(pod, label string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := on.Kubectl(ctx, "-n", stage.Namespace, "label", "pod", pod, label+"-"); err != nil {
		s.Error(err)
	}
}
