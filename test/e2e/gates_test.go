package e2e

import (
	"strings"
	"testing"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// A release that does not say what it should is taken back by itself, from every
// pod and with every player, and not tried again; the next one goes on.
func TestFailedGateRollsBack(t *testing.T) {
	s := open(t)
	before, crowd := s.lives(), s.gather()
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.edit(stage.Policy, "  rollout:\n", `  rollout:
    onFailure: Rollback
    analysis:
    - {name: version, when: [pod], http: {port: 8080, path: /state}, success: result.version == "v3", count: 2, interval: 1s}
`)
	s.push("Release v2, which is not v3")
	status := s.settled("game-server", api.PhaseRolledBack, 0, 8)
	v := status.Verdict
	if v == nil || v.Do != api.FailureRollback || !strings.Contains(v.Reason, `analysis version failed: result.version == "v3" does not hold`) {
		t.Errorf("the verdict is %+v", v)
	}
	s.plans(0, "not tried again until Git says something else", "nothing would change now")
	s.must(stage.SameLives(before, s.lives()))
	if got := s.versions(crowd); got["v1"] != 32 {
		t.Errorf("connections are served by %v, want 32 by v1", got)
	}

	s.edit(stage.Images, "newTag: v2", "newTag: v3")
	s.push("Release v3")
	s.settled("game-server", api.PhaseComplete, 8, 8)
	s.must(stage.SameLives(before, s.lives()))
}

// A step that measures is gone past when it has succeeded, and takes all back when
// the next one has failed.
func TestStepsMeasure(t *testing.T) {
	s := open(t)
	before := s.lives()
	const field = "kubernetes: {apiVersion: apps/v1, kind: Deployment, name: game-server, field: status.readyReplicas}"
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.edit(stage.Policy, "  rollout:\n", `  rollout:
    onFailure: Rollback
    steps:
    - partition: 7
    - analysis: {name: ready, `+field+`, success: result >= 7, count: 2, interval: 1s}
    - partition: 5
    - analysis: {name: more, `+field+`, success: result > 8}
`)
	s.push("Release v2, measured at two steps")
	status := s.settled("game-server", api.PhaseRolledBack, 0, 8)
	v := status.Verdict
	if v == nil || !strings.HasPrefix(v.Reason, "analysis more at step 4 failed: result > 8 does not hold") {
		t.Errorf("the verdict is %+v", v)
	}
	s.must(stage.SameLives(before, s.lives()))
	if story := s.hotpatch("history", "game-server"); !tells(story, "v2", "3/8") {
		t.Errorf("the history does not tell of a third pod:\n%s", story)
	}
}

// A command is a gate where the namespace lets the reconciler run it, and a field of
// an object one everywhere.
func TestCommandAndFieldAreGates(t *testing.T) {
	s := open(t)
	const gates = `  rollout:
    analysis:
    - {name: ready, when: [before, between, after], kubernetes: {apiVersion: apps/v1, kind: Deployment, name: game-server, field: status.readyReplicas}, success: result >= 7}
    - {name: build, when: [pod], exec: {container: main, command: [/game/server, --version]}, success: result.exitCode == 0 && result.stdout.contains("v2")}
`
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.edit(stage.Policy, "  rollout:\n", gates)
	s.push("Release v2, without the right to run commands")
	status := s.settled("game-server", api.PhasePaused, 2, 8)
	if !strings.Contains(status.Message, "is inconclusive: the reconciler may not run commands in pods of namespace default; add components/exec-analysis") {
		t.Errorf("the record says %q", status.Message)
	}

	rights := on.Root + "/manifests/components/exec-analysis/rbac.yaml"
	_, err := on.Kubectl(s.ctx, "-n", stage.Namespace, "apply", "-f", rights)
	s.must(err)
	t.Cleanup(func() {
		if _, err := on.Kubectl(s.ctx, "-n", stage.Namespace, "delete", "-f", rights); err != nil {
			t.Error(err)
		}
	})
	s.edit(stage.Policy, "maxConcurrent: 25%", "maxConcurrent: 50%")
	s.push("Go on, with the right")
	s.settled("game-server", api.PhaseComplete, 8, 8)
}
