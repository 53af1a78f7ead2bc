package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// Servers that are not Ready count for maxUnavailable, be it a percentage or a number:
// they may change, for nobody loses them, and the others wait. Then the others change,
// the lowest ordinal first.
func TestThoseNotReadyHoldTheOthers(t *testing.T) {
	t.Parallel()
	s := open(t)
	hall := s.invite("test/e2e/testdata/hall", "hall", 4)
	for i := range 4 {
		hall.doors(i, i >= 2)
	}
	s.push("The hall as it runs today")
	hall.is(api.PhaseComplete, 4, 4, "")
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

// doors opens a server's, or closes them, and waits for kubelet to see it.
func (g *guest) doors(i int, are bool) {
	g.Helper()
	said, pod := "False", fmt.Sprintf("%s-%d", g.name, i)
	if are {
		said = "True"
	}
	g.kubectl("-n", stage.Namespace, "patch", "pod", pod, "--subresource=status", "-p",
		`{"status":{"conditions":[{"type":"hall.example/doors","status":"`+said+`"}]}}`)
	g.kubectl("-n", stage.Namespace, "wait", "pod", pod, "--for=condition=Ready="+said, "--timeout=20s")
}

// changed is when each pod changed last, by its agent's clock.
func (g *guest) changed() (when []time.Time) {
	g.Helper()
	pods, err := on.Pods(g.ctx, g.name)
	g.must(err)
	for _, pod := range pods {
		o, err := stage.Observed(pod)
		g.must(err)
		when = append(when, o.Containers[0].Time)
	}
	return when
}
