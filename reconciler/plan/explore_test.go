package plan

import (
	"crypto/sha256"
	"flag"
	"slices"
	"strings"
	"testing"
)

var disturbances = flag.Int("disturbances", 1, "how many things disturb a small world on one way")

// TestSmallWorlds goes through all that can happen in some small worlds, in every
// order, breadth first: agents that answer now or later, pods that die or fail, and
// what people push meanwhile. So many things may disturb a world on one way; what
// does not is free. Every plan on the way keeps the rules, and from every state the
// rollout ends as it should once nothing disturbs it any more, in whatever order
// things happen then.
func TestSmallWorlds(t *testing.T) {
	for _, w := range smallWorlds {
		t.Run(strings.ReplaceAll(w.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			e := &explorer{world: w, ids: map[digestOf]int32{}}
			e.explore(t)
			e.everyWayEnds(t)
			t.Logf("%s: %d states, %d transitions", w.name, len(e.from), e.transitions)
		})
	}
}

// digestOf a state, under which it is known.
type digestOf [16]byte

// state is a cluster, and how many disturbances may still come.
type state struct {
	*cluster
	id, left int32
}

// explorer knows where it has been. States have numbers, in the order in which they
// were found; the clusters themselves are dropped once all that follows is known.
type explorer struct {
	world smallWorld
	ids   map[digestOf]int32
	queue []state
	// from and by: the state that one was found from, and what happened.
	from []int32
	by   []string
	// calm is where undisturbed ways go on to from a state.
	calm        [][]int32
	transitions int
}

func (e *explorer) explore(t *testing.T) {
	e.find(state{cluster: e.world.build(), left: int32(*disturbances)}, -1, "the beginning")
	for len(e.queue) > 0 {
		s := e.queue[0]
		e.queue[0] = state{}
		e.queue = e.queue[1:]
		e.expand(t, s)
	}
}

// expand does all that can happen in a state.
func (e *explorer) expand(t *testing.T, s state) {
	for _, m := range e.world.moves(s.cluster, int(s.left)) {
		next := state{cluster: s.clone(), left: s.left - int32(m.costs)}
		if wrong := m.do(next.cluster); wrong != "" {
			t.Fatalf("%s\n%s%s%s", wrong, s.told(Make(s.input())), s.truth(), e.way(s.id, m.name))
		}
		id := e.find(next, s.id, m.name)
		e.transitions++
		if m.costs == 0 && id != s.id {
			e.calm[s.id] = append(e.calm[s.id], id)
		}
	}
	if len(e.calm[s.id]) > 0 {
		return
	}
	p := Make(s.input())
	s.stands = p.Progress
	if wrong := s.unlikeAnEnd(p); wrong != "" {
		t.Fatalf("nothing goes on, and %s\n%s%s%s", wrong, s.told(p), s.truth(), e.way(s.id, "nothing"))
	}
}

// find numbers a state, and has it be looked at unless it was found before.
func (e *explorer) find(s state, from int32, by string) int32 {
	sum := sha256.Sum256(s.canonical())
	known := digestOf(sum[:16])
	if id, ok := e.ids[known]; ok {
		return id
	}
	s.id = int32(len(e.from))
	e.ids[known] = s.id
	e.from, e.by, e.calm = append(e.from, from), append(e.by, by), append(e.calm, nil)
	e.queue = append(e.queue, s)
	return s.id
}

// everyWayEnds: without disturbances no way leads back to where it was. States from
// which all ways end are taken away until none is left.
func (e *explorer) everyWayEnds(t *testing.T) {
	before := make([][]int32, len(e.calm))
	open := make([]int, len(e.calm))
	var ended []int32
	for id, next := range e.calm {
		for _, n := range next {
			before[n] = append(before[n], int32(id))
		}
		if open[id] = len(next); open[id] == 0 {
			ended = append(ended, int32(id))
		}
	}
	left := len(e.calm)
	for ; len(ended) > 0; left-- {
		id := ended[len(ended)-1]
		ended = ended[:len(ended)-1]
		for _, b := range before[id] {
			if open[b]--; open[b] == 0 {
				ended = append(ended, b)
			}
		}
	}
	if left > 0 {
		endless := int32(slices.IndexFunc(open, func(n int) bool { return n > 0 }))
		t.Fatalf("from %d states there is a way without an end\n%s", left, e.way(endless, "and so on"))
	}
}

// way tells how a state was come to, and what happened then.
func (e *explorer) way(id int32, then string) string {
	names := []string{then}
	for ; id >= 0; id = e.from[id] {
		names = append(names, e.by[id])
	}
	slices.Reverse(names)
	return "the way: " + strings.Join(names, "; ") + "\n"
}
