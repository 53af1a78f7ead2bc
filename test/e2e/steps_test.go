package e2e

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// One server goes ahead until a person lets the others follow; in between the
// reconciler dies. All of it goes through Git.
func TestStepsWaitUntilSomebodyPromotes(t *testing.T) {
	s := open(t)
	before, crowd := s.lives(), s.gather()
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.edit(stage.Policy, "  rollout:\n", "  rollout:\n    steps: [{partition: 7}, {pause: {}}, {partition: 50%}, {pause: {duration: 3s}}]\n")
	s.push("Release v2 step by step")
	status := s.settled("game-server", api.PhasePaused, 1, 8)
	if status.Message != "step 2 of 4: paused until somebody runs hotpatch promote game-server" {
		t.Errorf("the record says %q", status.Message)
	}
	_, err := on.Kubectl(s.ctx, "-n", stage.System, "delete", "pod", "-l", "app.kubernetes.io/name=hotpatch-reconciler", "--grace-period=0", "--force")
	s.must(err)
	_, err = on.Kubectl(s.ctx, "-n", stage.System, "rollout", "status", "deployment/hotpatch-reconciler", "--timeout=60s")
	s.must(err)
	s.plans(0, "step 2 of 4", "nothing would change now")

	s.hotpatch("promote", "game-server", "--push")
	s.settled("game-server", api.PhaseComplete, 8, 8)
	s.hotpatch("watch", "game-server") // it has ended well
	s.must(stage.SameLives(before, s.lives()))
	if got := s.versions(crowd); got["v2"] != 32 {
		t.Errorf("connections are served by %v, want 32 by v2", got)
	}
	story := s.hotpatch("history", "game-server")
	for _, words := range [][]string{{"v2", "1/8", "step 2 of 4"}, {"v2", "4/8", "step 4 of 4"}, {"v2", "8/8"}} {
		if !tells(story, words...) {
			t.Errorf("the history does not tell of %q:\n%s", words, story)
		}
	}
}

// tells is whether a line of a history has all of these words.
func tells(story string, words ...string) bool {
	for line := range strings.Lines(story) {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			return true
		}
	}
	return false
}

// Somebody holds a release and lets it go by commands that make the commits; the
// image stands in a kustomization, which rollback leaves to git revert.
func TestCommandsMakeTheCommits(t *testing.T) {
	s := open(t)
	s.hotpatch("suspend", "game-server", "--push")
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.edit(stage.Policy, "partition: 0 ", "partition: 3 ")
	s.push("Release v2 to five, while all is held")
	s.settled("game-server", api.PhasePaused, 0, 8)
	s.hotpatch("resume", "game-server", "--push")
	s.settled("game-server", api.PhasePaused, 5, 8)

	_, err := stage.Run(s.ctx, s.repo.Dir, s.program(), "rollback", "game-server", "--push")
	if err == nil || !strings.Contains(err.Error(), "git revert") {
		t.Errorf("rollback of an image that a kustomization sets: %v", err)
	}
}

// hotpatch runs the CLI in the clone, as the person does whose clone it is.
func (s *scene) hotpatch(args ...string) string {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, limit)
	defer cancel()
	out, err := stage.Run(ctx, s.repo.Dir, s.program(), args...)
	s.must(err)
	return out
}

func (s *scene) program() string { return filepath.Join(on.Root, "bin/hotpatch") }
