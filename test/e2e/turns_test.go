package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// The newest server goes first, or last, whatever its name; a match that an annotation
// tells of is passed over; and never do more change at once than may.
func TestTheNewestTheOldestAndTheProtected(t *testing.T) {
	t.Parallel()
	s := open(t)
	tower := s.hall("tower")
	s.kubectl("-n", stage.Namespace, "delete", "pod", tower.pod(2), "--wait=true")
	s.must(stage.Eventually(s.ctx, limit, func(ctx context.Context) error {
		lives, err := on.Lives(ctx, "tower", "main")
		if err == nil && len(lives) != 4 {
			err = fmt.Errorf("%d servers run, want four", len(lives))
		}
		return err
	}))
	tower.doors(2, true)

	tower.policy("order: [newest]", "partition: 3")
	tower.edit("game-server:v1", "game-server:v2")
	s.push("Release v2 to the newest")
	tower.is(api.PhasePaused, 1, 4, "the partition 3 keeps 3 of 4 pods on the stable revision")
	if got := fmt.Sprint(tower.runs()); got != "[v1 v1 v2 v1]" {
		t.Errorf("the servers run %s, want the newest on v2", got)
	}

	s.kubectl("-n", stage.Namespace, "annotate", "pod", tower.pod(1), "example.org/match=final")
	tower.policy("order: [oldest]", "maxConcurrent: 2", "maxUnavailable: 2", "minReadySeconds: 5", "protect: [{annotation: example.org/match, values: [final]}]")
	tower.edit("game-server:v2", "game-server:v3")
	s.push("Release v3, to the oldest first")
	tower.is(api.PhasePaused, 3, 4, "1 pod is protected by annotation example.org/match: tower-1")
	when := tower.changed()
	if among := when[0].Sub(when[3]).Abs(); among >= 5*time.Second {
		t.Errorf("two may change at once, and they changed %s after each other", among)
	}
	first := slices.MinFunc([]time.Time{when[0], when[3]}, time.Time.Compare)
	if after := when[2].Sub(first); after < 5*time.Second {
		t.Errorf("the newest changed %s after the first of two that are to be Ready for five seconds", after)
	}
	s.kubectl("-n", stage.Namespace, "annotate", "pod", tower.pod(1), "example.org/match-")
	tower.is(api.PhaseComplete, 4, 4, "")
}

// A node joins the cluster: pods there are patched like all others, and nodes take
// turns, whatever the pods' names.
func TestNodesTakeTurns(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.must(on.Join(s.ctx))
	twins := s.invite("test/e2e/testdata/twins", "twin", 4)
	before := twins.lives()
	twins.edit("game-server:v1", "game-server:v2")
	s.push("Release v2 to half of them, on all nodes")
	twins.is(api.PhasePaused, 2, 4, "the partition 2 keeps 2 of 4 pods on the stable revision")
	if got := fmt.Sprint(twins.runs()); got != "[v2 v1 v2 v1]" {
		t.Errorf("the servers run %s, want one of each node on v2", got)
	}
	twins.edit("partition: 2", "partition: 0")
	s.push("Release v2 to all")
	twins.is(api.PhaseComplete, 4, 4, "")
	s.must(stage.SameLives(before, twins.lives()))
}
