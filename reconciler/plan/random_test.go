package plan

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hotpatch.dev/hotpatch/api"
)

// TestAnyHistory has everything happen to a cluster in any order, while plans
// are made and partly done. Every plan on the way keeps the rules, and when
// nothing happens any more the pods come to be as they should. It takes twice as many
// histories as -rapid.checks says, on two cores.
func TestAnyHistory(t *testing.T) {
	for i := range 2 {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, anyHistory)
		})
	}
}

func anyHistory(t *rapid.T) {
	h := newHistory(t)
	t.Repeat(map[string]func(*rapid.T){
		"":                      h.timePasses,
		"the plan is done":      func(t *rapid.T) { h.act(h.plan(t)) },
		"an agent works":        func(t *rapid.T) { h.work(h.any(t)) },
		"all agents work":       func(*rapid.T) { h.workAll() },
		"a pod appears":         h.appear,
		"a pod is scheduled":    func(t *rapid.T) { h.place(h.any(t), h.node(t)) },
		"a pod is deleted":      func(t *rapid.T) { h.any(t).Gone = true },
		"the deleted are gone":  func(*rapid.T) { h.remove() },
		"readiness changes":     func(t *rapid.T) { p := h.any(t); h.setReady(p, p.Node != "" && !p.Ready) },
		"priority changes":      func(t *rapid.T) { h.any(t).Priority = rapid.IntRange(-1, 1).Draw(t, "priority") },
		"a container restarts":  func(t *rapid.T) { h.onNode(h.any(t), h.restart) },
		"a container crashes":   func(t *rapid.T) { h.onNode(h.any(t), h.crash) },
		"an agent fails once":   func(t *rapid.T) { h.failOnce(h.any(t)) },
		"a file is overwritten": func(t *rapid.T) { h.onNode(h.any(t), h.overwrite) },
		"a sidecar refuses":     func(t *rapid.T) { h.any(t).refuse = "no" },
		"a sidecar is well":     func(t *rapid.T) { h.any(t).refuse = "" },
		"a wish is lost":        func(t *rapid.T) { h.any(t).Desired = api.Desired{} },
		"an image disappears":   func(*rapid.T) { h.unknown[imageOf(h.revision)] = true },
		"images are there":      func(*rapid.T) { clear(h.unknown) },
		"the rollout changes":   func(t *rapid.T) { h.rollout = anyRollout(t) },
		"a match begins":        func(t *rapid.T) { h.play(h.any(t), true) },
		"a match ends":          func(t *rapid.T) { h.play(h.any(t), false) },
		"a pod is born right":   h.bear,
		"others are behind":     func(*rapid.T) { h.waitsFor = []string{"db"} },
		"others are Complete":   func(*rapid.T) { h.waitsFor = nil },
		"images are refused":    func(*rapid.T) { h.judges, h.policy = true, "not signed" },
		"images are admitted":   func(*rapid.T) { h.policy = "" },
		"time goes by":          func(t *rapid.T) { h.now = h.now.Add(seconds(t)) },
		"Git suspends it":       func(*rapid.T) { h.suspended = true },
		"Git lets it go on":     func(*rapid.T) { h.suspended = false },
		"gates are judged":      h.judgeSome,
		"gates are passed":      func(*rapid.T) { h.judge(Judged{State: GateSuccessful}, func(Gate) bool { return true }) },
		"somebody promotes":     h.letGo,
		"steps are edited":      h.editSteps,
		"Git is unreachable":    func(*rapid.T) { h.gitDown = true },
		"Git is back":           func(*rapid.T) { h.record() },
		"another reconciler":    func(*rapid.T) { h.reborn() },
		"a push":                h.push,
		"Git says it otherwise": func(t *rapid.T) { h.spec = rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "spec") },
		"the record is lost":    func(*rapid.T) { h.verdict, h.recorded, h.recordedResults = nil, nil, nil },
	})
	h.converge(t)
}

// history is a cluster to which things happen.
type history struct {
	*cluster
	shape shape
	plans int // so far
}

func newHistory(t *rapid.T) *history {
	h := &history{cluster: newCluster(), shape: rapid.SampledFrom([]shape{{image: true}, {files: true}, {image: true, files: true}}).Draw(t, "shape")}
	h.rollout = anyRollout(t)
	h.push(t)
	for range rapid.IntRange(0, 9).Draw(t, "pods") {
		h.appear(t)
	}
	// Without a stable revision nobody can take back files that came alone:
	// nobody knows what they were.
	if !h.shape.image || rapid.Bool().Draw(t, "has stable") {
		h.settle(h.shape.revision("v1"))
	}
	return h
}

// timePasses before the next event: plans are done, and some or all agents keep
// up with them.
func (h *history) timePasses(t *rapid.T) {
	h.plan(t)
	for range rapid.IntRange(0, 3).Draw(t, "steps") {
		h.act(h.plan(t))
		for _, p := range h.pods {
			if rapid.IntRange(0, 3).Draw(t, "keeps up") > 0 {
				h.work(p)
			}
		}
	}
}

// any pod; where there is none the event does not happen.
func (h *history) any(t *rapid.T) *simPod {
	if len(h.pods) == 0 {
		t.Skip("no pods")
	}
	return rapid.SampledFrom(h.pods).Draw(t, "pod")
}

func (h *history) node(t *rapid.T) string {
	return rapid.SampledFrom([]string{"n1", "n2", "n3"}).Draw(t, "node")
}

// place schedules a pod unless it is scheduled.
func (h *history) place(p *simPod, node string) {
	if p.Node == "" {
		h.schedule(p, node)
	}
}

func (h *history) onNode(p *simPod, f func(*simPod)) {
	if p.Node != "" {
		f(p)
	}
}

func (h *history) appear(t *rapid.T) {
	node := rapid.SampledFrom([]string{"", "n1", "n2", "n3"}).Draw(t, "node")
	h.started++ // a name of its own, even without a container
	p := h.add(fmt.Sprintf("game-%d", h.started), node, rapid.IntRange(-1, 2).Draw(t, "ordinal"))
	p.Zone = rapid.SampledFrom([]string{"", "east", "west"}).Draw(t, "zone")
}

// bear has a pod appear that was started on the revision's image. Without a stable
// revision that would be the same as to be on what it was before; and files would
// still have to come.
func (h *history) bear(t *rapid.T) {
	if h.stable == nil || h.shape.files {
		t.Skip("nobody is born right")
	}
	h.started++
	h.cluster.bear(h.add(fmt.Sprintf("game-%d", h.started), h.node(t), -1), h.revision.ID)
}

// play has a pod begin or end a match.
func (h *history) play(p *simPod, begin bool) {
	p.Labels = map[string]string{}
	if begin {
		p.Labels["state"] = "playing"
	}
}

func (h *history) failOnce(p *simPod) {
	p.fail = "bad luck"
	h.work(p)
	p.fail = ""
}

func (h *history) workAll() {
	for _, p := range h.pods {
		h.work(p)
	}
}

// push asks for a new revision, or again for an earlier one. Some have a
// reload, which makes another revision even of the pods' own images.
func (h *history) push(t *rapid.T) {
	n := rapid.IntRange(1, 4).Draw(t, "version")
	h.revision = h.shape.revision(fmt.Sprintf("v%d", n))
	if h.shape.image && n > 2 {
		h.revision.Containers[0].Reload = &api.Reload{Signal: "SIGHUP"}
	}
}

func seconds(t *rapid.T) time.Duration {
	return time.Duration(rapid.IntRange(0, 40).Draw(t, "seconds")) * time.Second
}

func imageOf(r Revision) string {
	for _, image := range images(r) {
		return image
	}
	return ""
}

// Histories begin at noon and end long before it is night.
var (
	everyOtherMinute = api.Windows{List: []api.Window{{Schedule: "*/2 * * * *", Duration: "1m"}}}
	byNight          = api.Windows{List: []api.Window{{Schedule: "0 3 * * *", Duration: "1h"}}}
)

// anyOrder is the default as often as not.
var anyOrder = [][]api.SortKey{
	nil, nil, nil, {api.SortOldest}, {api.SortNewest, api.SortOrdinalAscending}, {api.SortOrdinal, api.SortPriority},
	{api.SortPriority, api.SortNodeSpread, api.SortOldest}, {api.SortZoneSpread, api.SortNodeSpread},
}

func playing(deadline string) []api.Protection {
	return []api.Protection{{Label: "state", Values: []string{"playing"}, Deadline: deadline}}
}

func anyRollout(t *rapid.T) api.Rollout {
	pace := rapid.SampledFrom([]api.IntOrPercent{{}, api.Count(1), api.Count(3), api.Percent(1), api.Percent(40), api.Percent(100)})
	partition := rapid.SampledFrom([]api.IntOrPercent{
		api.Count(0), api.Count(0), api.Count(1), api.Count(3), api.Count(20),
		api.Percent(0), api.Percent(1), api.Percent(37), api.Percent(50), api.Percent(99), api.Percent(100),
	})
	return api.Rollout{
		Partition:      partition.Draw(t, "partition"),
		MaxConcurrent:  pace.Draw(t, "maxConcurrent"),
		MaxUnavailable: pace.Draw(t, "maxUnavailable"),

		Order:           rapid.SampledFrom(anyOrder).Draw(t, "order"),
		Window:          rapid.SampledFrom([]api.Windows{{}, {}, {}, everyOtherMinute, byNight}).Draw(t, "window"),
		Protect:         rapid.SampledFrom([][]api.Protection{nil, nil, playing(""), playing("20s"), playing("1m")}).Draw(t, "protect"),
		Steps:           anySteps(t),
		MinReadySeconds: rapid.SampledFrom([]int{0, 0, 10, 30}).Draw(t, "minReadySeconds"),

		Analysis:                rapid.SampledFrom(anyAnalysis).Draw(t, "analysis"),
		OnFailure:               rapid.SampledFrom([]api.FailurePolicy{"", api.FailurePause, api.FailureRollback, api.FailureRollback}).Draw(t, "onFailure"),
		FailureThreshold:        rapid.SampledFrom([]api.IntOrPercent{{}, api.Count(1), api.Count(2), api.Percent(50)}).Draw(t, "failureThreshold"),
		ProgressDeadlineSeconds: rapid.SampledFrom([]int{0, 0, 15}).Draw(t, "progressDeadlineSeconds"),
	}
}

// plan makes a plan and holds it to the rules. What is so of all plans, and dear to
// find out, it looks for in some.
func (h *history) plan(t *rapid.T) Plan {
	in, before, looks := h.input(), "", h.plans%8 == 7
	if h.plans++; looks {
		before = dump(in)
	}
	p := Make(in)
	if looks {
		h.sameAgain(t, in, p, before)
		h.timeAloneIsNoNews(t, in, p)
	}
	if wrong := h.holdTo(p); wrong != "" {
		t.Fatalf("%s\n%s%s%s", wrong, h.told(p), h.show(), h.truth())
	}
	return p
}

// sameAgain: the same input gives the same plan, in another order too, and stays as
// it was.
func (h *history) sameAgain(t *rapid.T, in Input, p Plan, before string) {
	if dump(in) != before {
		t.Fatal("the plan changed its input")
	}
	shuffled := in
	shuffled.Pods = rapid.Permutation(in.Pods).Draw(t, "other order")
	if again := Make(shuffled); dumpPlan(again) != dumpPlan(p) {
		t.Fatalf("the order of the pods matters:\n%s\n%s", dumpPlan(p), dumpPlan(again))
	}
}

// timeAloneIsNoNews: while nothing is to be done, a later plan says the same.
func (h *history) timeAloneIsNoNews(t *rapid.T, in Input, p Plan) {
	shut := h.shut()
	in.Progress, in.Verdict, in.Now, in.Deferred = p.Progress, p.Verdict, in.Now.Add(seconds(t)), map[string]time.Time{}
	for _, d := range p.Deferred {
		in.Deferred[d.Name] = d.Since
	}
	if p.Reached {
		in.Stable = &in.Revision
	}
	later := Make(in)
	if len(p.Gates) != len(later.Gates) {
		return // there is something to measure now
	}
	if p.Verdict == nil && later.Verdict != nil || h.deadlineBy(in.Now) {
		return // a deadline has passed, which is news
	}
	if shut != (&cluster{now: in.Now, rollout: h.rollout}).shut() || len(p.Actions)+len(later.Actions) > 0 {
		return
	}
	if h.unprotectedBy(in.Now, p.Deferred) {
		return
	}
	if !p.Again.IsZero() && in.Now.After(p.Again) && later.Again.IsZero() && strings.HasPrefix(later.said(), "minReady") {
		t.Fatalf("nobody looks again:\n%s%s", h.told(later), h.show())
	}
	if p.Progress != nil && p.goneBy(in.Now) {
		return // a step's time was over, as it said it would be
	}
	later.Again, later.Actions = p.Again, p.Actions // none, be it that some were not allowed
	if dumpPlan(p) != dumpPlan(later) {
		t.Fatalf("only time passed, and something else is told:\n%s%s", h.told(p), h.told(later))
	}
}
