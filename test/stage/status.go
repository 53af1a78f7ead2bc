package stage

import (
	"fmt"

	"hotpatch.dev/hotpatch/api"
)

// StatusView is a record that can be asked whether it says what was expected.
type StatusView struct{ api.HotPatchStatus }

// Reached returns nil once a commit has come to a phase with so many of so many
// pods on it.
func Reached(commit string, phase api.Phase, updated, total int) func(StatusView) error {
	return func(s StatusView) error {
		if s.Source.Commit == commit && s.Phase == phase && s.Counts.Updated == updated && s.Counts.Total == total {
			return nil
		}
		return fmt.Errorf("the record says commit %.8s, %s, %d of %d (%s); want commit %.8s, %s, %d of %d",
			s.Source.Commit, s.Phase, s.Counts.Updated, s.Counts.Total, s.Message, commit, phase, updated, total)
	}
}
