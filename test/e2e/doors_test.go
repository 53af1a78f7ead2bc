package e2e

import (
	"slices"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
)

// Servers that are not Ready count for maxUnavailable, be it a percentage or a number:
// they may change, for nobody loses them, and the others wait. Then the others change,
// the lowest ordinal first.
func TestThoseNotReadyHoldTheOthers(t *testing.T) {
	t.Parallel()
	s := open(t)
	hall := s.hall("hall")
	hall.doors(0, false)
	hall.doors(1, false)
	hall.edit("game-server:v1", "game-server:v2")
	s.push("Release v2")
	hall.is(api.PhaseProgressing, 2, 4, "maxUnavailable 50% holds the rest while these are changing or not Ready: hall-0, hall-1")
	hall.doors(0, true)
	hall.doors(1, true)
	hall.is(api.PhaseComplete, 4, 4, "")

	hall.doors(3, false)
	hall.edit("maxUnavailable: 50%", "maxUnavailable: 1")
	hall.edit("game-server:v2", "game-server:v3")
	s.push("Release v3")
	hall.is(api.PhaseProgressing, 1, 4, "maxUnavailable 1 holds the rest while these are changing or not Ready: hall-3")
	hall.doors(3, true)
	hall.is(api.PhaseComplete, 4, 4, "")
	when := hall.changed()
	if !slices.IsSortedFunc(when[:3], time.Time.Compare) || when[3].After(when[0]) {
		t.Errorf("the servers changed at %v, want the closed one first, and then those of the lowest ordinals", when)
	}
}
