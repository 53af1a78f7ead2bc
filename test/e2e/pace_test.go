package e2e

import (
	"fmt"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// Someone holds a release before it begins, and later lets it go: until then no
// pod is asked for anything.
func TestSuspendedStartsNothing(t *testing.T) {
	s := open(t)
	before, crowd := s.lives(), s.gather()
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.edit(stage.Policy, "  rollout:", "  suspend: true\n  rollout:")
	s.push("Prepare v2, but wait")
	status := s.settled("game-server", api.PhasePaused, 0, 8)
	if status.Message != "suspended in Git" {
		t.Errorf("the record says %q", status.Message)
	}
	s.plans(0, "suspended in Git", "nothing would change now")
	s.nobodyIsAsked()

	s.edit(stage.Policy, "  suspend: true\n", "")
	s.push("Release v2")
	s.settled("game-server", api.PhaseComplete, 8, 8)
	s.must(stage.SameLives(before, s.lives()))
	if got := s.versions(crowd); got["v2"] != 32 {
		t.Errorf("connections are served by %v, want 32 by v2", got)
	}
}

// A window that is half a day away holds a release; one that is open lets it go.
func TestWindowHoldsARelease(t *testing.T) {
	s := open(t)
	before := s.lives()
	opens := time.Now().UTC().Add(12 * time.Hour)
	closed := fmt.Sprintf(`{schedule: "0 %d * * *", duration: 1h}`, opens.Hour())
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.edit(stage.Policy, "  rollout:\n", "  rollout:\n    window: "+closed+"\n")
	s.push("Release v2 by night")
	status := s.settled("game-server", api.PhasePaused, 0, 8)
	next := opens.Format("outside of its window; the next opens Mon 2006-01-02 15:00 UTC")
	if status.Message != next {
		t.Errorf("the record says %q, want %q", status.Message, next)
	}
	s.plans(0, next, "nothing would change now")
	s.nobodyIsAsked()

	s.edit(stage.Policy, closed, `{schedule: "* * * * *", duration: 1h, timeZone: Asia/Shanghai}`)
	s.push("Release v2 at any time")
	s.settled("game-server", api.PhaseComplete, 8, 8)
	s.must(stage.SameLives(before, s.lives()))
}
