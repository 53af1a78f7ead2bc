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

// Of two reconcilers the one that stands by has the other poll, where it is told of a
// push. And when that one dies while pods are changing, another goes on: no server is
// told to reload twice.
func TestReconcilerKilledMidRollout(t *testing.T) {
	s := open(t)
	t.Cleanup(func() { s.replicas(1) })
	s.replicas(2)
	leader, standby := s.leaderAndStandby()
	crowd, generations := s.gather(), s.generations()
	s.pushesAreTold("http://" + standby.Status.PodIP + ":8080/trigger")

	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.edit(stage.Policy, "maxConcurrent: 25%", "maxConcurrent: 1")
	s.edit(stage.Policy, "  rollout:\n", "  rollout:\n    minReadySeconds: 1\n")
	pushed := time.Now()
	s.push("v2, one by one")
	s.must(stage.Eventually(s.ctx, limit, s.someButNotAll))
	if took := time.Since(pushed); took > 10*time.Second {
		t.Errorf("a push that the standby was told of took %s to reach a server", took)
	}
	s.must(stage.Kill(leader))
	now := int64(0)
	s.must(on.Kube.CoreV1().Pods(stage.System).Delete(s.ctx, leader.Name, metav1.DeleteOptions{GracePeriodSeconds: &now}))
	if s.reloaded(generations) == len(generations) {
		t.Fatal("all servers had changed when the reconciler died")
	}

	s.settled("game-server", api.PhaseComplete, 8, 8)
	if next, _ := s.leaderAndStandby(); next.Name == leader.Name {
		t.Errorf("%s still leads, and is dead", next.Name)
	}
	if got := s.versions(crowd); got["v2"] != 32 {
		t.Errorf("connections are served by %v, want 32 by v2", got)
	}
	if n := s.reloaded(generations); n != len(generations) {
		t.Errorf("%d of %d servers reloaded", n, len(generations))
	}
}

// reloaded is how many servers have become a new program, and says so where one has
// more than once.
func (s *scene) reloaded(since map[string]int) (servers int) {
	s.Helper()
	for pod, now := range s.generations() {
		switch now - since[pod] {
		case 0:
		case 1:
			servers++
		default:
			s.Errorf("pod %s reloaded %d times, want once", pod, now-since[pod])
		}
	}
	return servers
}

// someButNotAll holds once the record has servers on v2; one after the other they take a
// while.
func (s *scene) someButNotAll(ctx context.Context) error {
	status, err := s.repo.Status(ctx, "game-server")
	if err != nil {
		return err
	}
	if status.Images["main"] == "" || !strings.HasSuffix(status.Images["main"], ":v2") || status.Counts.Updated == 0 {
		return fmt.Errorf("%d pods on %v", status.Counts.Updated, status.Images)
	}
	return nil
}

// generations is how often each server has become a new program, by pod.
func (s *scene) generations() map[string]int {
	s.Helper()
	pods, err := on.Pods(s.ctx, "game-server")
	s.must(err)
	out := map[string]int{}
	for _, pod := range pods {
		a, err := stage.Ask(pod.Name, pod.Status.PodIP+":7777")
		s.must(err)
		out[pod.Name] = a.Generation
	}
	return out
}
