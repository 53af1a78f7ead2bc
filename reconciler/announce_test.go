package reconciler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/gitsource"
	"hotpatch.dev/hotpatch/reconciler/forge"
	"hotpatch.dev/hotpatch/reconciler/kube"
	"hotpatch.dev/hotpatch/reconciler/render"
)

// board is a forge that keeps what it shows, and may be down.
type board struct {
	mu    sync.Mutex
	shown map[string]forge.Status // by commit
	log   []string
	down  bool
}

func (b *board) Last(_ context.Context, commit, _ string) (forge.Status, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down {
		return forge.Status{}, errors.New("the forge is down")
	}
	return b.shown[commit], nil
}

func (b *board) Set(_ context.Context, commit string, s forge.Status) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down {
		return errors.New("the forge is down")
	}
	b.shown[commit] = s
	b.log = append(b.log, commit+" "+string(s.State)+": "+s.Words)
	return nil
}

func (b *board) set(down bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = down
}

// said is one HotPatch's result.
func said(name string, phase api.Phase, updated, total int, message string) result {
	return result{status: api.HotPatchStatus{Metadata: api.Metadata{Name: name}, Phase: phase, Message: message, Counts: api.Counts{Updated: updated, Total: total}}}
}

// heard runs an announcer, and hands over how to tell it of passes.
func heard(t *testing.T, b *board) (pass func(commit string, results ...result)) {
	latest := map[string]result{}
	a := &announcer{forge: b, name: "hotpatch/box", metrics: newMetrics(), wake: newTrigger(),
		results: func() (map[string]result, map[string]api.HotPatchStatus) { return latest, nil }}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go a.announce(ctx)
	return func(commit string, results ...result) {
		latest = map[string]result{}
		for _, r := range results {
			latest["default/"+r.status.Metadata.Name] = r
		}
		a.passed(&rendered{snapshot: &gitsource.Snapshot{Commit: commit}, Result: render.Result{Items: make([]render.Item, len(results))}})
		synctest.Wait()
	}
}

func (b *board) told(t *testing.T, want ...string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Equal(b.log, want) {
		t.Errorf("the forge was told\n%s\nwant\n%s", strings.Join(b.log, "\n"), strings.Join(want, "\n"))
	}
	b.log = nil
}

// Progress is told every half minute, an end at once, and nothing twice: not by the
// next leader either.
func TestCommitsAreAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &board{shown: map[string]forge.Status{}}
		pass := heard(t, b)
		pass("c1", said("game", api.PhaseProgressing, 1, 8, ""))
		pass("c1", said("game", api.PhaseProgressing, 2, 8, ""))
		pass("c1", said("game", api.PhaseProgressing, 3, 8, ""))
		b.told(t, "c1 pending: 1 of 8 pods; game")
		time.Sleep(announcePace)
		synctest.Wait()
		b.told(t, "c1 pending: 3 of 8 pods; game")
		pass("c1", said("game", api.PhaseComplete, 8, 8, ""))
		pass("c1", said("game", api.PhaseComplete, 8, 8, ""))
		b.told(t, "c1 success: 8 of 8 pods")

		heard(t, b)("c1", said("game", api.PhaseComplete, 8, 8, ""))
		b.told(t)
	})
}

// A commit that another one overtakes is not left as being on its way.
func TestAReplacedCommitIsAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &board{shown: map[string]forge.Status{}}
		pass := heard(t, b)
		pass("c1", said("game", api.PhaseProgressing, 1, 8, ""))
		pass("c2", said("game", api.PhaseProgressing, 1, 8, ""))
		pass("c2", said("game", api.PhaseComplete, 8, 8, ""))
		pass("c3", said("game", api.PhaseComplete, 8, 8, ""))
		b.told(t, "c1 pending: 1 of 8 pods; game", "c1 replaced: c2 came before it was everywhere",
			"c2 pending: 1 of 8 pods; game", "c2 success: 8 of 8 pods", "c3 success: 8 of 8 pods")
	})
}

// A forge that is down is told when it is back, and only what holds then.
func TestAForgeThatIsDownIsToldLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &board{shown: map[string]forge.Status{}}
		b.set(true)
		pass := heard(t, b)
		pass("c1", said("game", api.PhaseProgressing, 1, 8, ""))
		pass("c1", said("game", api.PhaseComplete, 8, 8, ""))
		time.Sleep(time.Hour)
		b.set(false)
		time.Sleep(2 * lastRetry)
		synctest.Wait()
		b.told(t, "c1 success: 8 of 8 pods")
	})
}

// While a registry is asked what a commit's image is, the pods are all where the
// commit before wants them; that is no success yet.
func TestAPassAnnouncesItsCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newPlayer(t, false), &board{shown: map[string]forge.Status{}}
		p.announcer = &announcer{forge: b, name: "hotpatch/box", results: p.recorder.compared, metrics: p.metrics, wake: newTrigger()}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go p.announcer.announce(ctx)
		pod := runningPod("c-0")
		pod.Labels = map[string]string{"c": ""}
		p.world.pods["c-0"] = pod
		for i, image := range []string{"game:a", "game:b"} {
			wish := item("c", ".")
			wish.HotPatch.Spec.Target.Name, wish.HotPatch.Spec.Containers[0].Image = "c", image
			p.meets(event{commit: &render.Result{Items: []render.Item{wish}}}, fmt.Sprintf("c%d", i))
			play(t, p)
			for range 3 { // images ahead, and then the swap
				p.meets(event{names: []string{"c-0"}, change: func(pod kube.Pod, there bool) (kube.Pod, bool) { return obey(pod, false), there }}, "")
				play(t, p)
			}
		}
		p.alarm.stop()
		b.told(t, "c0 pending: 0 of 0 pods; not all HotPatches are known yet", "c0 success: 1 of 1 pods", "c1 pending: 1 of 1 pods; c", "c1 success: 1 of 1 pods")
	})
}

func TestFate(t *testing.T) {
	awaited := said("arena", api.PhaseComplete, 8, 8, "")
	awaited.awaited = true
	failed := said("arena", api.PhaseRolledBack, 0, 8, "2 pods failed")
	failedAndAsked := failed
	held := said("arena", api.PhasePaused, 5, 8, "the partition 3 keeps 3 of 8 pods on the stable revision")
	held.status.Counts.Desired = 5
	stepped := held
	stepped.status.Progress = &api.Progress{Step: 2}
	failedAndAsked.awaited = true
	done := said("game", api.PhaseComplete, 4, 4, "")
	if state, words := fate(map[string]result{"game": done}, 3, nil); state != forge.Pending || words != "4 of 4 pods; not all HotPatches are known yet" {
		t.Errorf("of three, one is known: %s: %s", state, words)
	}
	for name, c := range map[string]struct {
		results []result
		want    string
	}{
		"nothing to do":         {nil, "success: 0 of 0 pods"},
		"all is done":           {[]result{done, said("arena", api.PhaseComplete, 8, 8, "")}, "success: 12 of 12 pods"},
		"one is on its way":     {[]result{done, said("arena", api.PhasePaused, 1, 8, "step 2 of 4")}, "pending: 5 of 12 pods; arena: step 2 of 4"},
		"a partition is there":  {[]result{done, held}, "success: 9 of 12 pods"},
		"there are steps left":  {[]result{done, stepped}, "pending: 9 of 12 pods; arena: the partition 3 keeps 3 of 8 pods on the stable revision"},
		"two are":               {[]result{said("x", api.PhasePending, 0, 1, "later"), said("arena", api.PhasePaused, 1, 8, "step 2 of 4")}, "pending: 1 of 9 pods, 2 HotPatches; arena: step 2 of 4"},
		"the image is asked of": {[]result{done, awaited}, "pending: 12 of 12 pods; arena"},
		"one failed":            {[]result{said("a", api.PhaseProgressing, 0, 1, ""), failed, done}, "failure: 4 of 13 pods; arena: 2 pods failed"},
		"and something else is": {[]result{failedAndAsked, done}, "pending: 4 of 12 pods; arena"},
		"two failed":            {[]result{failed, said("z", api.PhaseDegraded, 0, 0, "no target")}, "failure: 0 of 8 pods, 2 HotPatches; arena: 2 pods failed"},
	} {
		latest := map[string]result{}
		for _, r := range c.results {
			latest[r.status.Metadata.Name] = r
		}
		state, words := fate(latest, len(latest), nil)
		if got := string(state) + ": " + words; got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// A kustomization that cannot be built may hold a HotPatch that was never seen.
func TestWhatIsUnreadableFails(t *testing.T) {
	wrong := []error{errors.New("games/kustomization.yaml: no such file: typo.yaml"), errors.New("another")}
	done, failed := said("game", api.PhaseComplete, 4, 4, ""), said("arena", api.PhaseDegraded, 0, 8, "no target")
	for want, latest := range map[string]map[string]result{
		"failure 0 of 0 pods; games/kustomization.yaml: no such file: typo.yaml": nil,
		"failure 4 of 4 pods; games/kustomization.yaml: no such file: typo.yaml": {"game": done},
		"failure 4 of 12 pods; arena: no target":                                 {"game": done, "arena": failed},
	} {
		if state, words := fate(latest, len(latest), wrong); string(state)+" "+words != want {
			t.Errorf("%s %s, want %s", state, words, want)
		}
	}
}

// That the next commit is not signed is nothing against the one in force.
func TestARefusedCommitBlamesNoOther(t *testing.T) {
	results := map[string]result{"game": said("game", api.PhaseComplete, 4, 4, "")}
	a := &announcer{results: func() (map[string]result, map[string]api.HotPatchStatus) { return results, nil }, wake: newTrigger()}
	good := &rendered{snapshot: &gitsource.Snapshot{Commit: "c1"}}
	a.passed(good)
	results = map[string]result{"game": said("game", api.PhaseDegraded, 4, 4, "commit c2 is not signed")}
	a.passed(&rendered{snapshot: good.snapshot, refused: "commit c2 is not signed"})
	if state, words := fate(a.latest, a.wanted, a.wrong); a.commit != "c1" || state != forge.Success {
		t.Errorf("of %s it is said: %s %s", a.commit, state, words)
	}
}
