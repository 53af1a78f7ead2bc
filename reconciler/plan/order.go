package plan

import (
	"cmp"
	"slices"
	"strings"

	"hotpatch.dev/hotpatch/api"
)

// before compares two pods by one key: who comes first is less.
type before func(a, b Pod) int

// always comes first: pods that are not Ready have nothing to lose.
func always(a, b Pod) int {
	ready := func(p Pod) int {
		if p.Ready {
			return 1
		}
		return 0
	}
	return cmp.Compare(ready(a), ready(b))
}

// otherwise tells apart what no key does: the higher priority, the higher
// ordinal, the name.
func otherwise(a, b Pod) int {
	return cmp.Or(byPriority(a, b), byOrdinal(a, b), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
}

func byPriority(a, b Pod) int { return cmp.Compare(b.Priority, a.Priority) }
func byOrdinal(a, b Pod) int  { return cmp.Compare(b.Ordinal, a.Ordinal) }
func byAge(a, b Pod) int      { return a.Created.Compare(b.Created) }

// comparisons by key. Those without an ordinal come last in either direction.
var comparisons = map[api.SortKey]before{
	api.SortPriority:         byPriority,
	api.SortOrdinal:          byOrdinal,
	api.SortOrdinalAscending: func(a, b Pod) int { return cmp.Compare(uint(a.Ordinal), uint(b.Ordinal)) },
	api.SortOldest:           byAge,
	api.SortNewest:           func(a, b Pod) int { return byAge(b, a) },
}

// places are what spreads take turns between.
var places = map[api.SortKey]func(Pod) string{
	api.SortNodeSpread: func(p Pod) string { return p.Node },
	api.SortZoneSpread: func(p Pod) string { return p.Zone },
}

// inOrder sorts pods: those that are not Ready, then by the keys.
func inOrder(pods []Pod, keys []api.SortKey) []Pod {
	return arrange(pods, []before{always}, keys)
}

// arrange sorts by comparisons, and the pods that these do not tell apart by the
// keys that are left. A spread has the pods after it in order first, and then
// deals them out.
func arrange(pods []Pod, by []before, keys []api.SortKey) []Pod {
	if len(keys) == 0 {
		return slices.SortedFunc(slices.Values(pods), all(append(by, otherwise)))
	}
	place := places[keys[0]]
	if place == nil {
		return arrange(pods, append(by, comparisons[keys[0]]), keys[1:])
	}
	var arranged []Pod
	for _, equal := range classes(pods, all(by)) {
		arranged = append(arranged, deal(arrange(equal, nil, keys[1:]), place)...)
	}
	return arranged
}

// all compares by one after the other.
func all(by []before) before {
	return func(a, b Pod) int {
		for _, compare := range by {
			if c := compare(a, b); c != 0 {
				return c
			}
		}
		return 0
	}
}

// classes are the pods that a comparison does not tell apart, in its order.
func classes(pods []Pod, compare before) (classes [][]Pod) {
	sorted := slices.SortedStableFunc(slices.Values(pods), compare)
	for i, p := range sorted {
		if i == 0 || compare(sorted[i-1], p) != 0 {
			classes = append(classes, nil)
		}
		last := len(classes) - 1
		classes[last] = append(classes[last], p)
	}
	return classes
}

// deal takes turns between places: first the first pod of each, then the second.
func deal(pods []Pod, place func(Pod) string) []Pod {
	turns, seen := map[string]int{}, map[string]int{}
	for _, p := range pods {
		turns[p.UID+p.Name] = seen[place(p)]
		seen[place(p)]++
	}
	turn := func(p Pod) int { return turns[p.UID+p.Name] }
	return slices.SortedStableFunc(slices.Values(pods), func(a, b Pod) int { return cmp.Compare(turn(a), turn(b)) })
}

// inWords is an order as people wrote it.
func inWords(keys []api.SortKey) string {
	var words []string
	for _, key := range keys {
		words = append(words, string(key))
	}
	return strings.Join(words, ", ")
}
