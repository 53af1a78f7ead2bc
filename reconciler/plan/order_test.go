package plan

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hotpatch.dev/hotpatch/api"
)

// passedOver: of Ready pods that only wait for their turn, one begins before
// another that comes first.
func passedOver(c *cluster, p Plan) string {
	if !slices.ContainsFunc(p.Actions, func(a Action) bool { return a.Kind == Apply }) {
		return ""
	}
	waiting := map[string]*simPod{}
	for _, pod := range c.alive() {
		if pod.Ready && !c.protected(pod) && !pod.changing() && !(c.enough() > 0 && c.speaksAgainst(pod)) && pod.Desired.Revision == "" && pod.at+pod.files == "" && len(pod.ContainerIDs) > 0 {
			waiting[c.turn(pod)] = pod
		}
	}
	passed := ""
	for _, turn := range slices.Sorted(maps.Keys(waiting)) {
		pod := waiting[turn]
		switch goes := p.takes(pod, c.revision.ID); {
		case goes && passed != "":
			return fmt.Sprintf("%s, %s", passed, pod.Name)
		case !goes && passed == "":
			passed = pod.Name
		}
	}
	return ""
}

func (p Plan) takes(pod *simPod, revision string) bool {
	return slices.ContainsFunc(p.Actions, func(a Action) bool {
		return a.Kind == Apply && a.UID == pod.UID && a.Revision.ID == revision
	})
}

// turn is a text that sorts like the pods should: those that are not Ready first.
func (c *cluster) turn(p *simPod) string {
	among := slices.DeleteFunc(c.alive(), func(other *simPod) bool { return other.Ready != p.Ready })
	return fmt.Sprintf("%t ", p.Ready) + turnBy(p, c.rollout.Order, among)
}

// turnBy keys, among pods that the keys before do not tell apart.
func turnBy(p *simPod, keys []api.SortKey, among []*simPod) string {
	if len(keys) == 0 {
		return valueOf(p, api.SortPriority) + valueOf(p, api.SortOrdinal) + p.Name
	}
	rest := func(p *simPod) string { return turnBy(p, keys[1:], among) }
	if key := keys[0]; key != api.SortNodeSpread && key != api.SortZoneSpread {
		among = slices.DeleteFunc(slices.Clone(among), func(other *simPod) bool { return valueOf(other, key) != valueOf(p, key) })
		return valueOf(p, key) + rest(p)
	}
	before := 0 // of its place
	for _, other := range among {
		if placeOf(other, keys[0]) == placeOf(p, keys[0]) && rest(other) < rest(p) {
			before++
		}
	}
	return fmt.Sprintf("%020d ", before) + rest(p)
}

func placeOf(p *simPod, spread api.SortKey) string {
	if spread == api.SortZoneSpread {
		return p.Zone
	}
	return p.Node
}

// valueOf a key is a text that sorts like the key does.
func valueOf(p *simPod, key api.SortKey) string {
	const most = 1 << 40
	value := 0
	switch key {
	case api.SortPriority:
		value = most - p.Priority
	case api.SortOrdinal:
		value = most - p.Ordinal
	case api.SortOrdinalAscending:
		value = (p.Ordinal + most) % most
	case api.SortOldest:
		value = most + int(p.Created.Unix())
	case api.SortNewest:
		value = most - int(p.Created.Unix())
	}
	return fmt.Sprintf("%020d ", value)
}

// However far a rollout is, no place has had more pods change than another that
// still has some to give, by more than one.
func TestSpreadTakesTurns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var pods []Pod
		total := map[string]int{}
		for i := range rapid.IntRange(0, 12).Draw(t, "pods") {
			node := rapid.SampledFrom([]string{"n1", "n2", "n3"}).Draw(t, "node")
			zone := map[string]string{"n1": "east", "n2": "east", "n3": "west"}[node]
			pods = append(pods, Pod{Name: fmt.Sprintf("game-%d", i), Node: node, Zone: zone, Ordinal: -1, Ready: true})
			total[zone]++
		}
		order := inOrder(pods, []api.SortKey{api.SortZoneSpread, api.SortNodeSpread, api.SortNewest})
		changed := map[string]int{}
		for _, p := range order {
			changed[p.Zone]++
			for zone, all := range total {
				if changed[zone] < all && changed[p.Zone] > changed[zone]+1 {
					t.Fatalf("%s has %d when %s has %d of %d: %v", p.Zone, changed[p.Zone], zone, changed[zone], all, order)
				}
			}
		}
		if len(order) != len(pods) {
			t.Fatalf("%d pods of %d", len(order), len(pods))
		}
	})
}

func TestEarlierKnowsNever(t *testing.T) {
	never, noon := time.Time{}, time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	later := noon.Add(time.Hour)
	for _, c := range []struct{ a, b, want time.Time }{
		{never, never, never}, {noon, never, noon}, {never, noon, noon}, {noon, later, noon}, {later, noon, noon},
	} {
		if got := Earlier(c.a, c.b); !got.Equal(c.want) {
			t.Errorf("earlier of %s and %s is %s", c.a, c.b, got)
		}
	}
}
