package e2e

import (
	"fmt"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// With a threshold a release goes past one that failed, which is named; where as many
// have failed nobody else begins, though there is place. Those that failed are measured
// anew once Git says something else. By percent it is of the pods that there are, and
// with Rollback one fewer takes nothing back.
func TestPauseGoesPastFailures(t *testing.T) {
	t.Parallel()
	s := open(t)
	ring := s.hall("ring")
	for i, fit := range []string{"yes", "yes", "no", "yes"} {
		ring.label(i, "fit", fit)
	}
	const gate = `analysis: [{name: fit, when: [pod], kubernetes: {apiVersion: v1, kind: Pod, name: $(POD_NAME), field: metadata.labels.fit}, success: result == "yes"}]`
	ring.policy("maxConcurrent: 1", "failureThreshold: 2", gate)
	ring.edit("game-server:v1", "game-server:v2")
	s.push("Release v2")
	ring.is(api.PhaseDegraded, 4, 4, "pod ring-2: analysis fit failed…")

	ring.label(2, "fit", "yes")
	ring.policy("maxConcurrent: 1", "maxUnavailable: 2", "failureThreshold: 2", gate)
	s.push("Look again")
	ring.is(api.PhaseComplete, 4, 4, "")

	ring.label(2, "fit", "no")
	ring.label(3, "fit", "no")
	ring.policy("maxConcurrent: 1", "maxUnavailable: 2", "failureThreshold: 50%", gate)
	ring.edit("game-server:v2", "game-server:v3")
	s.push("Release v3")
	ring.is(api.PhaseDegraded, 2, 4, "pod ring-3: analysis fit failed: result == \"yes\" does not hold; nobody else begins, as failureThreshold 50% is reached")
	ring.run("v2", "v2", "v3", "v3") // nobody begins behind two that failed

	ring.label(2, "fit", "yes")
	ring.policy("maxConcurrent: 3", "maxUnavailable: 3", "onFailure: Rollback", "failureThreshold: 50%", gate)
	ring.edit("game-server:v3", "game-server:v1")
	s.push("Release v1, which one of four fails")
	ring.is(api.PhaseDegraded, 4, 4, "pod ring-3: analysis fit failed…")
	ring.label(2, "fit", "no")
	ring.edit("game-server:v1", "game-server:v3")
	s.push("Release v3, which two fail")
	ring.is(api.PhaseRolledBack, 0, 4, "2 pods failed; pod ring-3: analysis fit failed…")
	ring.run("v2", "v2", "v2", "v2") // the last that all were on
}

// A server that was Ready before it changed must be so again in time. That it is not
// takes all back, outside of the window too: in the order in which they came, and one by
// one as they came. The commit of the record says why.
func TestRollbackGoesOutsideOfTheWindow(t *testing.T) {
	t.Parallel()
	s := open(t)
	bridge := s.hall("bridge")
	before, turns := bridge.lives(), bridge.watch()
	rollout := []string{"order: [ordinal-ascending]", "maxConcurrent: 1", "maxUnavailable: 2", "onFailure: Rollback", "progressDeadlineSeconds: 15"}
	bridge.policy(append(rollout, "partition: 1")...)
	bridge.edit("game-server:v1", "game-server:v2")
	s.push("Release v2 to three")
	bridge.is(api.PhasePaused, 3, 4, "the partition 1 keeps 1 of 4 pods on the stable revision")

	opens := time.Now().UTC().Add(12 * time.Hour).Truncate(time.Hour)
	bridge.policy(append(rollout, fmt.Sprintf(`window: {schedule: "0 %d * * *", duration: 1h}`, opens.Hour()))...)
	s.push("Release v2 to all, by night")
	held := nextOpens(opens)
	bridge.is(api.PhasePaused, 3, 4, held)
	bridge.doors(0, false)
	const why = "pod bridge-0: was Ready before it changed, and then not for 15s"
	bridge.is(api.PhaseRolledBack, 0, 4, why+"; not tried again until Git says something else")
	turns.were(1, "0 1 2, and back 0 1 2")
	s.must(stage.SameLives(before, bridge.lives()))
	told, err := s.repo.Told(s.ctx, "bridge")
	s.must(err)
	s.must(contains(told, "bridge: 0 of 4 on v2, rolled back: "+why))
	s.must(contains(s.hotpatch("history", "bridge"), why))
}

// label is a game's word of one of its servers.
func (g *guest) label(i int, key, value string) {
	g.Helper()
	g.kubectl("-n", stage.Namespace, "label", "--overwrite", "pod", g.pod(i), key+"="+value)
}
