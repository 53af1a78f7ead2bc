package reconciler

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/gitsource"
	"hotpatch.dev/hotpatch/reconciler/kube"
	"hotpatch.dev/hotpatch/reconciler/render"
)

// fleet is a stage with so many HotPatches, each of so many pods, that are Complete;
// but for every tenth, if some are to be in trouble.
func fleet(t testing.TB, hotpatches, pods int, trouble bool) (stage, *byTarget) {
	s, cluster := newStage(nil), &byTarget{pods: map[string][]kube.Pod{}}
	s.cluster = cluster
	s.retries.backoff = func(int) time.Duration { return time.Hour }
	var all render.Result
	for i := range hotpatches {
		all.Items = append(all.Items, item(fmt.Sprintf("game-%d", i), "."))
		if trouble && i%10 == 0 {
			spoil(&all.Items[i].HotPatch.Spec, i/10)
		}
	}
	s.calm(all)
	for key, tr := range s.tracked {
		name := strings.TrimPrefix(key, "default/")
		for i := range pods {
			if tr.accepted == nil || tr.accepted.HotPatch.Spec.Target.Name != name {
				break // it has no pods of its own
			}
			pod := on(runningPod(fmt.Sprintf("%s-%d", name, i)), tr.accepted.revision, noon)
			cluster.pods["app="+name] = append(cluster.pods["app="+name], pod)
		}
	}
	s.calm(all)
	if n := s.resting(); n != hotpatches {
		t.Fatalf("%d of %d HotPatches rest", n, hotpatches)
	}
	return s, cluster
}

// spoil has a HotPatch ask for what cannot be.
func spoil(spec *api.Spec, n int) {
	switch n % 3 {
	case 0:
		spec.Target.Name = "nowhere"
	case 1:
		spec.Containers[0].Name = "of no pod"
	default:
		spec.Target.Name = "game-1" // whose pods follow another
	}
}

// calm passes over a commit until nothing is new.
func (s stage) calm(content render.Result) {
	s.follower.newest = &rendered{Result: content, snapshot: &gitsource.Snapshot{Commit: "c1"}}
	for range 4 {
		s.pass(context.Background(), newCommit)
		s.jobs.wait()
	}
}

// flip has one pod be Ready, or not.
func (s stage) flip(cluster *byTarget, selector string) {
	cluster.pods[selector][0].Ready = !cluster.pods[selector][0].Ready
	s.moved.add(kube.Scope{Namespace: "default", Selector: selector})
}

func TestUnchangedHotPatchesCostNoAllocation(t *testing.T) {
	allocations := func(hotpatches int, trouble bool) float64 {
		s, _ := fleet(t, hotpatches, 3, trouble)
		return testing.AllocsPerRun(100, func() { s.pass(context.Background(), workEnded) })
	}
	few := allocations(10, false)
	for _, trouble := range []bool{false, true} {
		if many := allocations(200, trouble); many > few+1 { // the alarm for what is tried again
			t.Errorf("a pass over 10 allocates %.0f times, one over 200 %.0f times; in trouble: %t", few, many, trouble)
		}
	}
}

func TestOneChangedPodCostsOneLook(t *testing.T) {
	looks := func(hotpatches int) float64 {
		s, cluster := fleet(t, hotpatches, 3, false)
		return testing.AllocsPerRun(100, func() {
			s.flip(cluster, "app=game-7")
			s.pass(context.Background(), podsChanged)
		})
	}
	if few, many := looks(10), looks(200); many > few*1.05 {
		t.Errorf("with one of 10 changed a pass allocates %.0f times, with one of 200 %.0f times", few, many)
	}
}

// BenchmarkPlan prints what `make bench-plan` shows, and fails where a pass over
// HotPatches that have not changed takes too long.
func BenchmarkPlan(b *testing.B) {
	const hotpatches, pods, limit = 1000, 10, 5 * time.Millisecond
	s, cluster := fleet(b, hotpatches, pods, false)
	pass := func(why cause) func() { return func() { s.pass(context.Background(), why) } }
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "\none pass over %d HotPatches with %d pods\tmedian\tallocations\n", hotpatches, hotpatches*pods)
	row := func(what string, runs int, run func()) time.Duration {
		median := median(runs, run)
		fmt.Fprintf(table, "%s\t%s\t%.0f\n", what, median, testing.AllocsPerRun(10, run))
		return median
	}
	if took := row("nothing changed", 1000, pass(workEnded)); took > limit {
		b.Errorf("a pass over what has not changed takes %s, at most %s are allowed", took, limit)
	}
	troubled, _ := fleet(b, hotpatches, pods, true)
	if took := row("nothing changed, every tenth is in trouble", 1000, func() { troubled.pass(context.Background(), workEnded) }); took > limit {
		b.Errorf("a pass over what has not changed takes %s where some are in trouble, at most %s are allowed", took, limit)
	}
	row("one pod changed", 1000, func() {
		s.flip(cluster, "app=game-500")
		s.pass(context.Background(), podsChanged)
	})
	row("everything looked at", 20, pass(resync))
	if took := row(fmt.Sprintf("one HotPatch of %d pods in the midst of its rollout looked at", hotpatches*pods), 5, midway(b, hotpatches*pods)); took > time.Second {
		b.Errorf("a look at one HotPatch of %d pods takes %s, at most a second is allowed", hotpatches*pods, took)
	}
	if err := table.Flush(); err != nil {
		b.Fatal(err)
	}
}

// midway is a look at one HotPatch of so many pods on a tenth as many nodes, half of
// which are on its revision, while others wait for those that change.
func midway(t testing.TB, pods int) func() {
	s, cluster := fleet(t, 1, 1, false)
	cluster.pods["app=game-0"] = nil
	tr := s.tracked["default/game-0"]
	for i := range pods {
		pod := runningPod(fmt.Sprintf("game-%d", i))
		pod.Node = fmt.Sprintf("n%d", i%(pods/10))
		if i < pods/2 {
			pod = on(pod, tr.accepted.revision, noon)
		} else if i < pods*3/4 { // told, and not there
			pod.Desired = api.Desired{HotPatch: "game-0", Revision: tr.accepted.revision.ID, Containers: tr.accepted.revision.Containers}
		}
		cluster.pods["app=game-0"] = append(cluster.pods["app=game-0"], pod)
	}
	return func() { s.flip(cluster, "app=game-0"); s.pass(context.Background(), podsChanged); s.jobs.wait() }
}

func median(runs int, run func()) time.Duration {
	var took []time.Duration
	for range runs {
		began := time.Now()
		run()
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[len(took)/2]
}
