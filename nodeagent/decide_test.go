package nodeagent

import (
	"testing"

	"hotpatch.dev/hotpatch/api"
)

func TestDecide(t *testing.T) {
	const v1, v2 = "r/game@sha256:1", "r/game@sha256:2"
	hup := &api.Reload{Signal: "SIGHUP"}
	for name, c := range map[string]struct {
		want   api.DesiredContainer
		is     situation
		do     move
		reload bool
		state  api.State // once it is there
	}{
		"never touched, wants its own image":       {api.DesiredContainer{Image: v1, Reload: hup}, situation{OnOwn: true, OwnIsImage: true}, stay, false, api.StateRestored},
		"never touched, wants its own root":        {api.DesiredContainer{Reload: hup}, situation{OnOwn: true}, stay, false, api.StateRestored},
		"first swap":                               {api.DesiredContainer{Image: v2, Reload: hup}, situation{OnOwn: true}, swapTo, true, api.StateRestored},
		"is there":                                 {api.DesiredContainer{Image: v2, Reload: hup}, situation{Image: v2, Told: true}, stay, false, api.StateReloaded},
		"is there, and was not told":               {api.DesiredContainer{Image: v2, Reload: hup}, situation{Image: v2}, stay, true, api.StateReloaded},
		"is there, nobody to be told":              {api.DesiredContainer{Image: v2}, situation{Image: v2}, stay, false, api.StatePatched},
		"killed before the reload":                 {api.DesiredContainer{Image: v2, Reload: hup}, situation{Image: v2, ReloadPending: true}, stay, true, api.StateReloaded},
		"killed before the pivot":                  {api.DesiredContainer{Image: v2, Reload: hup}, situation{OnOwn: true, ReloadPending: true}, swapTo, true, api.StateRestored},
		"from one image to another":                {api.DesiredContainer{Image: v2, Reload: hup}, situation{Image: v1}, swapTo, true, api.StateReloaded},
		"back to its own image is to its own root": {api.DesiredContainer{Image: v1, Reload: hup}, situation{Image: v2, OwnIsImage: true}, restore, true, api.StateReloaded},
		"back without an image":                    {api.DesiredContainer{}, situation{Image: v2}, restore, false, api.StatePatched},
	} {
		do, reload := decide(c.want, c.is)
		if do != c.do || reload != c.reload {
			t.Errorf("%s: got %s reload=%v, want %s reload=%v", name, do, reload, c.do, c.reload)
		}
		if state := settled(c.want, c.is); state != c.state {
			t.Errorf("%s: state %s, want %s", name, state, c.state)
		}
	}
}
