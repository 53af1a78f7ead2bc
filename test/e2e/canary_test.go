package e2e

import (
	"testing"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// The story of examples/canary, with seconds where it has minutes: to one, after a
// word from somebody to half, after a while to all; and the next one back from the
// first step, with no steps.
func TestCanaryExampleGoesStepByStep(t *testing.T) {
	s := open(t)
	arena := s.invite("examples/canary", "arena", 8)
	before := arena.lives()
	s.push("The arena as it runs today")
	arena.is(api.PhaseComplete, 8, 8, "")

	arena.edit("minReadySeconds: 10", "minReadySeconds: 1")
	arena.edit("duration: 10m", "duration: 6s")
	arena.edit("game-server:v1", "game-server:v2")
	s.push("Release v2")
	arena.is(api.PhasePaused, 1, 8, "step 2 of 4: paused until somebody runs hotpatch promote arena")
	s.hotpatch("promote", "arena", "--push")
	arena.is(api.PhasePaused, 4, 8, "step 4 of 4: paused until …")
	arena.is(api.PhaseComplete, 8, 8, "")
	story := s.hotpatch("history", "arena")
	if !tells(story, "v2", "1/8") || !tells(story, "v2", "4/8") {
		t.Errorf("the history does not tell of the steps:\n%s", story)
	}

	arena.edit("game-server:v2", "game-server:v3")
	s.push("Release v3")
	arena.is(api.PhasePaused, 1, 8, "step 2 of 4: paused until somebody runs hotpatch promote arena")
	s.hotpatch("rollback", "arena", "--push")
	arena.is(api.PhaseComplete, 8, 8, "")
	for pod, version := range s.served("arena") {
		if version != "v2" {
			t.Errorf("pod %s is served by %s after the rollback, want v2", pod, version)
		}
	}
	s.must(stage.SameLives(before, arena.lives()))
}
