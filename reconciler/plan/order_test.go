package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hotpatch.dev/hotpatch/api"
)

// passedOver: of Ready pods that only wait for their turn, one begins before
// another that comes first. A spread is held to rules of its own.
func passedOver(c *cluster, p Plan) string {
	if slices.Contains(c.rollout.Order, api.SortNodeSpread) || slices.Contains(c.rollout.Order, api.SortZoneSpread) {
		return ""
	}
	var waiting []*simPod
	for _, pod := range c.alive() {
		if pod.Ready && !c.protected(pod) && !pod.changing() && !(c.enough() > 0 && c.speaksAgainst(pod)) && pod.Desired.Revision == "" && pod.at+pod.files == "" && len(pod.ContainerIDs) > 0 {
			waiting = append(waiting, pod)
		}
	}
	slices.SortFunc(waiting, func(a, b *simPod) int { return strings.Compare(c.turn(a), c.turn(b)) })
	passed := ""
	for _, pod := range waiting {
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

// turn is a text that sorts like the pods should.
func (c *cluster) turn(p *simPod) string {
	const most = 1 << 40
	down := func(n int) string { return fmt.Sprintf("%020d ", most-n) }
	var turn strings.Builder
	for _, key := range c.rollout.Order {
		switch key {
		case api.SortPriority:
			turn.WriteString(down(p.Priority))
		case api.SortOrdinal:
			turn.WriteString(down(p.Ordinal))
		case api.SortOrdinalAscending:
			turn.WriteString(fmt.Sprintf("%020d ", (p.Ordinal+most)%most))
		case api.SortOldest:
			turn.WriteString(down(-int(p.Created.Unix())))
		case api.SortNewest:
			turn.WriteString(down(int(p.Created.Unix())))
		}
	}
	return turn.String() + down(p.Priority) + down(p.Ordinal) + p.Name
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
