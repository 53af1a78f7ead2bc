package e2e

import (
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// With a cron spec, and nobody to tell of pushes, a release begins when the clock says
// so: not before, and not a poll later.
func TestScheduleReleasesByTheClock(t *testing.T) {
	s := open(t)
	t.Cleanup(func() { s.reconcilerWith("HOTPATCH_SCHEDULE-") })
	s.pushesAreTold("")
	s.reconcilerWith("HOTPATCH_SCHEDULE=CRON_TZ=Asia/Shanghai * * * * *")
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	turn := time.Now().Truncate(time.Minute).Add(time.Minute)
	s.push("Release v2 at the next minute")
	_, err := on.Settled(s.ctx, s.repo, "game-server", api.PhaseComplete, 8, 8, time.Until(turn)+limit/2)
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
