package plan

import (
	"testing"

	"hotpatch.dev/hotpatch/api"
)

func TestSubject(t *testing.T) {
	for _, c := range []struct {
		phase               api.Phase
		version, hold, want string
	}{
		{api.PhasePending, "v2", "", "game: waiting for pods to be on v2"},
		{api.PhaseProgressing, "v2", "", "game: 5 of 8 on v2, changing"},
		{api.PhaseProgressing, "v2", "step 1 of 5", "game: 5 of 8 on v2, changing (step 1 of 5)"},
		{api.PhasePaused, "v2", "partition 3", "game: 5 of 8 on v2 (partition 3)"},
		{api.PhasePaused, "v2", "suspended", "game: 5 of 8 on v2 (suspended)"},
		{api.PhasePaused, "v2", "", "game: 5 of 8 on v2 (paused)"},
		{api.PhaseComplete, "v2", "", "game: 5 of 8 on v2"},
		{api.PhaseDegraded, "v2", "", "game: 5 of 8 on v2, trouble: pod game-0: no"},
		{api.PhaseRolledBack, "v2", "", "game: 5 of 8 on v2, rolled back"},
		{api.PhaseComplete, "", "", "game: 5 of 8 on 0123456789"},
		{api.PhasePending, "", "", "game: waiting for pods to be on 0123456789"},
	} {
		s := api.HotPatchStatus{Metadata: api.Metadata{Name: "game"}, Revision: "0123456789", Phase: c.phase, Counts: api.Counts{Updated: 5, Total: 8}}
		if c.phase == api.PhaseDegraded {
			s.Message = "pod game-0: no"
		}
		if c.version != "" {
			s.Files = []api.DesiredFile{{Version: c.version}}
		}
		if got := Subject(s, c.hold); got != c.want {
			t.Errorf("%s: got %q, want %q", c.phase, got, c.want)
		}
	}
}
