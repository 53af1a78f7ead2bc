package nodeagent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"hotpatch.dev/hotpatch/api"
)

const (
	// reloadLabel stands on a container from before the pivot until its reload was
	// delivered, so that an agent killed between the two delivers it again. Its
	// value is the root before, to which a reload that does not take goes back.
	reloadLabel = "hotpatch.dev/reload-pending"
	// toldLabel says of which root a container's program was told, and how. A
	// reload that is asked for later, or was corrected, is so delivered as well,
	// and one that was delivered is not again because a file has changed.
	toldLabel = "hotpatch.dev/told"
)

// toldOf is the value of toldLabel for a root and a reload. How long a reload may
// take is no part of it.
func toldOf(root string, reload *api.Reload) string {
	if reload == nil {
		return ""
	}
	how := *reload
	how.TimeoutSeconds = 0
	text, _ := json.Marshal(how) // strings and numbers: cannot fail
	sum := sha256.Sum256(text)
	return root + " " + hex.EncodeToString(sum[:5])
}

// noteTold notes that the program was told of the root that it is on: nothing is
// pending.
func (a *Agent) noteTold(ctx context.Context, c *container) error {
	delete(c.rt.Labels, reloadLabel)
	return a.runtime.SetLabels(ctx, c.rt.ID, map[string]string{reloadLabel: "", toldLabel: toldOf(c.is.Key, c.want.Reload)})
}
