package nodeagent

import (
	"fmt"
	"time"

	"hotpatch.dev/hotpatch/api"
)

const (
	// soon is how long a container must run after it was patched for its end to
	// be its own.
	soon = 30 * time.Second
	// maxInVain is how often a container is patched in vain.
	maxInVain = 3
)

// endedSoon counts the patches in a row that came to nothing: those before, and
// one more if the container that was patched last is gone ("" for none running
// now) soon after. The annotation carries the count, so that it outlives agents.
func endedSoon(was api.ObservedContainer, containerID string, now time.Time) int {
	patched := was.State == api.StatePatched || was.State == api.StateReloaded
	switch {
	case was.ContainerID == containerID || !patched:
		return was.InVain
	case now.Sub(was.Time) < soon:
		return was.InVain + 1
	}
	return 0
}

// givenUp says that a container is not patched any more: it would only go on
// to crash.
func givenUp(inVain int) error {
	if inVain < maxInVain {
		return nil
	}
	return fmt.Errorf("it was patched %d times in vain: each time it ended within %s, or did not become the new program; it is left alone until another revision is asked for", inVain, soon)
}
