package plan

import (
	"fmt"
	"strings"
	"testing"

	"hotpatch.dev/hotpatch/api"
)

// A course has every pod that a rollout would come to, however it is staged.
func TestCourseIsTheWholeRollout(t *testing.T) {
	revision := func(image string) Revision {
		containers := []api.DesiredContainer{{Name: "main", Image: image}}
		return Revision{ID: api.Revision(containers, nil), Containers: containers}
	}
	v1, v2 := revision("game@sha256:1"), revision("game@sha256:2")
	pod := func(name string, ready bool, on Revision) Pod {
		return Pod{Name: name, UID: name, Node: "n", Ready: ready, Ordinal: -1,
			ContainerIDs: map[string]string{"main": "c"},
			Desired:      api.Desired{Revision: on.ID},
			Observed: api.Observed{Revision: on.ID, Containers: []api.ObservedContainer{
				{Name: "main", ContainerID: "c", Image: on.Containers[0].Image, State: api.StatePatched}}}}
	}
	pods := []Pod{pod("a", true, v1), pod("b", true, v1), pod("c", false, v1), pod("d", true, v2)}
	gone := pod("e", true, v1)
	gone.Gone = true
	steps := []api.Step{{Partition: api.Count(3)}, {Pause: &api.Pause{}}}

	for _, c := range []struct {
		name    string
		rollout api.Rollout
		to      Revision
		want    string
	}{
		{"everything, past its steps", api.Rollout{Steps: steps}, v2, "c→v2 a→v2 b→v2"},
		{"a partition", api.Rollout{Partition: api.Count(2)}, v2, "c→v2"},
		{"a partition that takes back", api.Rollout{Partition: api.Count(4)}, v2, "d→v1"},
		{"the stable revision again", api.Rollout{Partition: api.Count(4)}, v1, "d→v1"},
	} {
		var got []string
		for _, a := range Course(Input{Revision: c.to, Stable: &v1, Rollout: c.rollout, Pods: append(pods, gone)}) {
			got = append(got, fmt.Sprintf("%s→%s", a.Pod, map[string]string{v1.ID: "v1", v2.ID: "v2"}[a.Revision.ID]))
		}
		if line := strings.Join(got, " "); line != c.want {
			t.Errorf("%s: %s, want %s", c.name, line, c.want)
		}
	}
}
