package e2e

import (
	"context"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// With a cron spec, and nobody to tell of pushes, a release begins when the clock says
// so: not before, and not a poll later.
func TestScheduleReleasesByTheClock(t *testing.T) {
	s := open(t)
	hook, err := on.Hook(s.ctx)
	s.must(err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		s.ctx = ctx
		s.must(on.StartGit(ctx, hook))
		s.polls("HOTPATCH_SCHEDULE-")
	})
	s.must(on.StartGit(s.ctx, "")) // and tells nobody
	s.polls("HOTPATCH_SCHEDULE=CRON_TZ=Asia/Shanghai * * * * *")
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	turn := time.Now().Truncate(time.Minute).Add(time.Minute)
	s.push("Release v2 at the next minute")
	_, err = on.Settled(s.ctx, s.repo, "game-server", api.PhaseComplete, 8, 8, time.Until(turn)+limit/2)
	s.must(err)
	pods, err := on.Pods(s.ctx, "game-server")
	s.must(err)
	for _, pod := range pods {
		o, err := stage.Observed(pod)
		s.must(err)
		if when := o.Containers[0].Time; when.Before(turn) {
			t.Errorf("pod %s was patched %s before the minute", pod.Name, turn.Sub(when))
		}
	}
}

// polls gives the reconciler another setting, and waits until it runs with it.
func (s *scene) polls(setting string) {
	s.Helper()
	const reconciler = "deployment/hotpatch-reconciler"
	s.kubectl("-n", stage.System, "set", "env", reconciler, setting)
	s.kubectl("-n", stage.System, "rollout", "status", reconciler, "--timeout=60s")
}
