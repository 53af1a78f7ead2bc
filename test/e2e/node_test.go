package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// containerd and kubelet die at the very moment of a release, and are started
// again: the release goes on, nobody who plays notices.
func TestNodeProgramsDieDuringARelease(t *testing.T) {
	s := open(t)
	before, crowd := s.lives(), s.gather()
	for i, program := range []string{"containerd", "kubelet", "containerd"} {
		from, to := fmt.Sprintf("v%d", i%2+1), fmt.Sprintf("v%d", (i+1)%2+1)
		s.edit(stage.Images, "newTag: "+from, "newTag: "+to)
		s.push(fmt.Sprintf("%s, and %s dies", to, program))
		s.must(stage.KillOnNode(program))
		s.settled("game-server", api.PhaseComplete, 8, 8)
		if got := s.versions(crowd); got[to] != 32 {
			t.Errorf("%s died: connections are served by %v, want 32 by %s", program, got, to)
		}
	}
	s.must(stage.SameLives(before, s.lives()))
}

// A node that was rebooted has every pod on what it was patched to, and the next
// release finds nothing odd.
func TestRebootedNodeIsPatchedAgain(t *testing.T) {
	s := open(t)
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.push("v2")
	s.settled("game-server", api.PhaseComplete, 8, 8)
	began := time.Now()
	s.must(on.Reboot(s.ctx))
	s.must(stage.Eventually(s.ctx, 2*limit, func(ctx context.Context) error { return s.startedOn(ctx, "v2", began) }))
	s.settled("game-server", api.PhaseComplete, 8, 8)

	crowd, before := s.gather(), s.lives()
	s.edit(stage.Images, "newTag: v2", "newTag: v3")
	s.push("v3, on the rebooted node")
	s.settled("game-server", api.PhaseComplete, 8, 8)
	s.must(stage.SameLives(before, s.lives()))
	if got := s.versions(crowd); got["v3"] != 32 {
		t.Errorf("connections are served by %v, want 32 by v3", got)
	}
}

// startedOn says who was not started since then, or is not seen on a version.
func (s *scene) startedOn(ctx context.Context, version string, since time.Time) error {
	pods, err := on.Pods(ctx, "game-server")
	if err != nil {
		return err
	}
	for _, pod := range pods {
		a, err := stage.Ask(pod.Name, pod.Status.PodIP+":7777")
		if err != nil {
			return err
		}
		o, err := stage.Observed(pod)
		if err != nil {
			return err
		}
		running := pod.Status.ContainerStatuses[0].ContainerID
		switch {
		case a.Started.Before(since) || a.Version != version:
			return fmt.Errorf("pod %s is served by %s, started %s", pod.Name, a.Version, a.Started)
		case len(o.Containers) != 1 || o.Containers[0].ContainerID != running || !o.Containers[0].State.Done():
			return fmt.Errorf("pod %s runs %s, and was observed as %s", pod.Name, running, strings.TrimSpace(pod.Annotations[api.ObservedAnnotation]))
		}
	}
	return nil
}
