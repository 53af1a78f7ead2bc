package reconciler

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/gitsource"
	"hotpatch.dev/hotpatch/reconciler/kube"
	"hotpatch.dev/hotpatch/reconciler/render"
)

// player is a loop in a world of its own, with a recorder whose commits take no time.
type player struct {
	stage
	world *world
	all   bool // each pass looks at everything
}

func newPlayer(t *testing.T, all bool) player {
	p := player{newStage(t), &world{pods: map[string]kube.Pod{}, off: map[string]bool{}}, all}
	p.cluster, p.executor.pods, p.admission.cluster, p.digests.resolver = p.world, p.world, p.world, p.world
	p.retries = newRetries(func() { p.trigger.fire(retryDue) })
	// The same for all, and kept: the resync notices what was forgotten.
	p.retries.backoff = func(times int) time.Duration { return min(firstRetry<<min(times, 8), lastRetry) }
	p.retries.keeps = 1000 * time.Hour
	p.jobs.retries, p.jobs.ended = p.retries, func() { p.trigger.fire(workEnded) }
	p.analyses = newAnalyses(p.world, p.metrics, func() { p.trigger.fire(workEnded) })
	return p
}

// meets has something happen to a player.
func (p player) meets(e event, id string) {
	switch {
	case e.commit != nil:
		p.follower.newest = &rendered{Result: *e.commit, snapshot: &gitsource.Snapshot{Commit: id}}
		p.trigger.fire(newCommit)
	case e.change != nil || e.mood != "":
		for _, target := range p.world.happens(e) {
			p.moved.add(kube.Scope{Namespace: "default", Selector: target})
		}
		p.trigger.fire(podsChanged)
	}
}

// play has all pass, at the same moments, until nothing follows from what happened.
func play(t *testing.T, players ...player) {
	for turn, busy := 0, true; turn < 2 || busy; turn++ {
		if turn == 25 {
			t.Fatal("they do not come to rest")
		}
		for range 4 {
			for _, p := range players {
				why := p.trigger.take()
				if p.all {
					p.moved.add(kube.Scope{})
				}
				p.pass(t.Context(), why)
			}
			synctest.Wait()
		}
		time.Sleep(writing) // work takes its time, and so do commits
		synctest.Wait()
		busy = false
		for _, p := range players {
			p.commitNow()
			busy = busy || p.trigger.pending() // also by what the last pass has begun
		}
	}
}

// pending tells whether a pass is to follow.
func (t *trigger) pending() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.causes != 0
}

func (p player) commitNow() {
	before, after := p.recorder.written, map[string]api.HotPatchStatus{}
	for key, now := range p.recorder.latest {
		after[key] = now.status
	}
	p.recorder.written = after
	if stepped(before, after) {
		p.trigger.fire(workEnded)
	}
}

var worlds = flag.Uint64("worlds", 8, "in how many worlds those that rest are compared with those that do not")

// Whoever rests is looked at no more, and nobody can tell: the records and the pods
// are those of a loop that looks at everything each time.
func TestPassesThatSkipTellTheSame(t *testing.T) {
	rested, troubled := 0, 0
	for seed := range *worlds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, 0))
				skips, looks := newPlayer(t, false), newPlayer(t, true)
				e := event{words: "the first commit", commit: someWishes(r)}
				for n := range 60 {
					skips.meets(e, fmt.Sprint(n))
					looks.meets(e, fmt.Sprint(n))
					play(t, skips, looks)
					skips.same(looks, fmt.Sprintf("%d: %s", n, e.words))
					rested, troubled = rested+skips.resting(), troubled+skips.troubled()
					e = anything(r)
					time.Sleep(e.sleep)
				}
				skips.alarm.stop()
				looks.alarm.stop()
			})
		})
	}
	if rested == 0 || troubled == 0 {
		t.Errorf("%d ever rested, %d of them in trouble", rested, troubled)
	}
}

// Pods that a HotPatch leaves, because its new target is in force at last, are free
// for the one that rested because of them, at once and not with the resync.
func TestAnAcceptedTargetFreesPodsForWhoRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlayer(t, false)
		both := runningPod("both")
		both.Labels = map[string]string{"a": "", "b": ""}
		p.world.pods["both"] = both
		pinned := "game@sha256:" + strings.Repeat("a", 64)
		wish := func(targetOfA, image string) event {
			a, b := item("a", "."), item("b", ".")
			a.HotPatch.Spec.Target.Name, a.HotPatch.Spec.Containers[0].Image = targetOfA, image
			b.HotPatch.Spec.Target.Name, b.HotPatch.Spec.Containers[0].Image = "b", pinned
			return event{commit: &render.Result{Items: []render.Item{a, b}}}
		}
		p.meets(wish("a", pinned), "1")
		play(t, p)
		waiting := p.tracked["default/b"]
		if !waiting.rests || waiting.problem == nil || len(waiting.claimed) != 0 {
			t.Fatalf("b rests: %t, its problem is %v, it has %v", waiting.rests, waiting.problem, waiting.claimed)
		}
		p.meets(wish("c", "game:a"), "2") // the registry takes its time
		play(t, p)
		if waiting.problem != nil || len(waiting.claimed) != 1 {
			t.Errorf("a has left for another target; of b is said %v, and it has %v", waiting.problem, waiting.claimed)
		}
		p.alarm.stop()
	})
}

// So are those that it loses in any other way: here with the last pod that has its
// container.
func TestALostClaimFreesPodsForWhoRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlayer(t, false)
		own, both := runningPod("own"), runningPod("both")
		own.Labels, both.Labels = map[string]string{"a": ""}, map[string]string{"a": "", "b": ""}
		both.Containers, both.ContainerIDs = []string{"proxy"}, map[string]string{"proxy": "containerd://1"}
		p.world.pods["own"], p.world.pods["both"] = own, both
		a, b := item("a", "."), item("b", ".")
		b.HotPatch.Spec.Containers[0].Name = "proxy"
		p.meets(event{commit: &render.Result{Items: []render.Item{a, b}}}, "1")
		play(t, p)
		waiting := p.tracked["default/b"]
		if !waiting.rests || waiting.problem == nil || len(waiting.claimed) != 0 {
			t.Fatalf("b rests: %t, its problem is %v, it has %v", waiting.rests, waiting.problem, waiting.claimed)
		}
		p.meets(event{names: []string{"own"}, change: func(own kube.Pod, _ bool) (kube.Pod, bool) { return own, false }}, "")
		play(t, p)
		if waiting.problem != nil || len(waiting.claimed) != 1 {
			t.Errorf("a has lost its claim; of b is said %v, and it has %v", waiting.problem, waiting.claimed)
		}
		p.alarm.stop()
	})
}

// Where no pod is wanted by two, one that appears is a matter of its own HotPatch.
func TestAPodThatAppearsWakesNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlayer(t, false)
		looked := &looks{p.world, map[string]int{}}
		p.cluster = looked
		p.meets(event{commit: &render.Result{Items: []render.Item{item("a", "."), item("b", ".")}}}, "1")
		play(t, p)
		clear(looked.at)
		p.meets(event{names: []string{"new"}, change: func(kube.Pod, bool) (kube.Pod, bool) {
			pod := runningPod("new")
			pod.Labels = map[string]string{"a": ""}
			return pod, true
		}}, "")
		play(t, p)
		if looked.at["a"] == 0 || looked.at["b"] > 0 || len(p.tracked["default/a"].claimed) != 1 {
			t.Errorf("a has a pod more, and this often was looked at each: %v", looked.at)
		}
		p.alarm.stop()
	})
}

// looks counts how often somebody wants to see the pods of each target.
type looks struct {
	*world
	at map[string]int
}

func (l *looks) Pods(scope kube.Scope) ([]kube.Pod, error) {
	l.at[scope.Selector]++
	return l.world.Pods(scope)
}

func (p player) same(other player, after string) {
	p.t.Helper()
	if !reflect.DeepEqual(p.recorder.latest, other.recorder.latest) {
		for key, want := range other.recorder.latest {
			if got := p.recorder.latest[key]; !reflect.DeepEqual(got, want) {
				p.t.Errorf("%s: of %s\n%+v\nis said, and by a pass over everything\n%+v", after, key, got, want)
			}
		}
		p.t.Fatalf("%s: %d records, want %d", after, len(p.recorder.latest), len(other.recorder.latest))
	}
	if !reflect.DeepEqual(p.world.pods, other.world.pods) {
		p.t.Fatalf("%s: the pods are\n%+v\nwant\n%+v", after, p.world.pods, other.world.pods)
	}
}

// troubled counts who rests though something is wrong with it.
func (s stage) troubled() (n int) {
	for _, t := range s.tracked {
		if t.rests && t.problem != nil {
			n++
		}
	}
	return n
}

func (s stage) resting() (n int) {
	for _, t := range s.tracked {
		if t.rests {
			n++
		}
	}
	return n
}
