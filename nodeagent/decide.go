package nodeagent

import (
	"slices"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/nodeagent/swap/layer"
)

// situation is what was read off the node about one container.
type situation struct {
	// OnOwn: the container is on its own root; else Image is what its root is
	// made of. Key is that of the root's snapshot.
	OnOwn      bool
	Image, Key string
	// OwnIsImage: the desired image has the same layers as the container's own.
	OwnIsImage bool
	// ReloadPending: a swap was done, or begun, whose reload is not known to
	// have been delivered.
	ReloadPending bool
	// Told: the program was told of this root, by this very reload.
	Told bool
}

// move is what to do about the container's root.
type move string

const (
	stay    move = "stay"
	swapTo  move = "swap"
	restore move = "restore"
	goBack  move = "go back"
)

// decide compares what one container should be with what it is.
func decide(want api.DesiredContainer, is situation) (do move, reload bool) {
	wantsOwn := want.Image == "" || is.OwnIsImage
	switch {
	case wantsOwn && !is.OnOwn:
		do = restore
	case !wantsOwn && (is.OnOwn || is.Image != want.Image):
		do = swapTo
	default:
		do = stay
	}
	return do, want.Reload != nil && (do != stay || is.ReloadPending || !is.OnOwn && !is.Told)
}

// settled is the state of a container that is where it should be.
func settled(want api.DesiredContainer, is situation) api.State {
	switch {
	case is.OnOwn:
		return api.StateRestored
	case want.Reload != nil:
		return api.StateReloaded
	}
	return api.StatePatched
}

// defaultCarry always stays that of the old root: pid files and sockets live
// there, and programs lose their children and clients without them.
var defaultCarry = []string{"/run", "/var/run", "/tmp"}

// carried are the paths of the old root that stay.
func carried(want api.DesiredContainer) []string {
	return slices.DeleteFunc(slices.Concat(defaultCarry, want.Carry), func(p string) bool { return p == api.CarryAll })
}

// carriedLayer is how much of the rest is copied; nil: none. An earlier root
// comes back with its own writes, and takes no others.
func (a *Agent) carriedLayer(want api.DesiredContainer, do move) *layer.Limit {
	if do != swapTo || !slices.Contains(want.Carry, api.CarryAll) {
		return nil
	}
	return &a.options.CarryLimit
}
