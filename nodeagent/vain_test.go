package nodeagent

import (
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
)

func TestEndedSoon(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	was := func(state api.State, ago time.Duration, inVain int) api.ObservedContainer {
		return api.ObservedContainer{ContainerID: "containerd://1", State: state, Time: now.Add(-ago), InVain: inVain}
	}
	for name, c := range map[string]struct {
		was  api.ObservedContainer
		id   string
		want int
	}{
		"runs on":                             {was(api.StateReloaded, time.Second, 0), "containerd://1", 0},
		"ended soon":                          {was(api.StatePatched, time.Second, 0), "containerd://2", 1},
		"ended soon, none runs now":           {was(api.StateReloaded, time.Second, 1), "", 2},
		"ended after long":                    {was(api.StateReloaded, time.Hour, 2), "containerd://2", 0},
		"waited, then started":                {api.ObservedContainer{State: api.StateWaiting, Time: now, InVain: 2}, "containerd://3", 2},
		"left alone, and ended all by itself": {was(api.StateFailed, time.Second, 3), "containerd://4", 3},
		"never patched":                       {was(api.StateRestored, time.Second, 0), "containerd://2", 0},
		"new":                                 {api.ObservedContainer{}, "containerd://1", 0},
	} {
		if got := endedSoon(c.was, c.id, now); got != c.want {
			t.Errorf("%s: %d in vain, want %d", name, got, c.want)
		}
	}
}
