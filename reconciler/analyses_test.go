package reconciler

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/gates"
	"hotpatch.dev/hotpatch/reconciler/kube"
	"hotpatch.dev/hotpatch/reconciler/plan"
	"hotpatch.dev/hotpatch/reconciler/render"
)

// judging is a stage with two pods, of which the first has changed, and a game in it
// that is asked how many errors it has. A test says by the number of the question, as
// passes take as long as they take; a negative answer never comes.
type judging struct {
	stage
	pods  *written
	asked *atomic.Int64
}

// fromTheSecond is a game that has too many errors when it is asked again.
func fromTheSecond(nth int64) int { return 7 * int(nth-1) }

func newJudging(t *testing.T, errors func(nth int64) int, change func(rollout *api.Rollout, port int)) (judging, map[string]result) {
	j := judging{newStage(t), &written{}, &atomic.Int64{}}
	game := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n := errors(j.asked.Add(1)); n >= 0 {
			fmt.Fprintf(w, `{"errors": %d}`, n)
			return
		}
		<-r.Context().Done()
	}))
	t.Cleanup(game.Close)
	_, port, _ := net.SplitHostPort(game.Listener.Addr().String())
	number, _ := strconv.Atoi(port)
	cluster := &scripted{}
	j.cluster, j.executor.pods = cluster, j.pods
	j.analyses = newAnalyses(gates.New(nil, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, ""), j.metrics, func() { j.trigger.fire(workEnded) })
	wish := item("game", ".")
	change(&wish.HotPatch.Spec.Rollout, number)
	content := render.Result{Items: []render.Item{wish}}
	j.commit("c1", content)
	revision := j.tracked["default/game"].accepted.revision
	changed := on(runningPod("game-0"), revision, time.Now())
	changed.IP = "127.0.0.1"
	cluster.pods = []kube.Pod{changed, runningPod("game-1")}
	return j, j.commit("c1", content)
}

// settle passes whenever something brings a pass, until it is over or a while has
// gone by.
func (j judging) settle(over func() bool) {
	for end := time.After(20 * time.Second); !over(); {
		select {
		case <-j.trigger.wake:
			j.pass(context.Background(), j.trigger.take())
			j.jobs.wait()
		case <-end:
			return
		}
	}
}

func (j judging) record() result { return j.recorder.latest["default/game"] }

func smoke(port int) api.Analysis {
	return api.Analysis{Name: "smoke", When: []api.Moment{api.MomentPod}, HTTP: &api.HTTPMeasure{Port: port}, Success: "result.errors < 3", Interval: "1s", Count: 2}
}

func TestPodIsMeasuredBeforeTheNextIsTold(t *testing.T) {
	questions := make(chan time.Time, 10)
	none := func(int64) int { questions <- time.Now(); return 0 }
	j, _ := newJudging(t, none, func(r *api.Rollout, port int) { r.Analysis = []api.Analysis{smoke(port)} })
	j.settle(func() bool { return j.pods.desired("game-1", "") })
	if asked := j.asked.Load(); !j.pods.desired("game-1", "") || asked != 2 {
		t.Fatalf("%d measurements, then %s", asked, j.record().status.Message)
	}
	if first, second := <-questions, <-questions; second.Sub(first) < time.Second {
		t.Errorf("measured again after %s", second.Sub(first))
	}
}

func TestFailedMeasurementRollsBack(t *testing.T) {
	j, _ := newJudging(t, fromTheSecond, func(r *api.Rollout, port int) {
		r.OnFailure, r.Analysis = api.FailureRollback, []api.Analysis{smoke(port)}
	})
	j.settle(func() bool { return j.pods.desired("game-0", `{"name":"main"}`) })
	got := j.record()
	want := "pod game-0: analysis smoke failed: result.errors < 3 does not hold"
	if got.status.Verdict == nil || got.status.Verdict.Reason != want || !strings.HasSuffix(got.subject, want) {
		t.Errorf("verdict %+v, subject %q", got.status.Verdict, got.subject)
	}
	if len(j.analyses.judged(j.tracked["default/game"])) > 0 {
		t.Error("what was measured is kept for nobody")
	}
}

// A measurement that hangs holds up neither the pass nor what pods are told: it is
// still under way when the passes are over.
func TestPassDoesNotWaitForMeasurements(t *testing.T) {
	never := func(int64) int { return -1 }
	j, first := newJudging(t, never, func(r *api.Rollout, port int) {
		a := smoke(port)
		a.Timeout, a.Count = "5s", 1
		r.Analysis = []api.Analysis{a}
	})
	if len(j.analyses.jobs.underway()) != 1 {
		t.Error("the passes waited for the measurement")
	}
	if got := first["default/game"].status; !strings.Contains(got.Message, "passed analysis smoke: game-0") {
		t.Errorf("meanwhile %s %q", got.Phase, got.Message)
	}
	j.settle(func() bool { return j.record().status.Phase == api.PhaseDegraded })
	if got := j.record().status; !strings.Contains(got.Message, "no end after 5s") {
		t.Errorf("%s %q", got.Phase, got.Message)
	}
}

// What ends after its gate was given up is nobody's result.
func TestLateMeasurementIsDropped(t *testing.T) {
	release := make(chan struct{})
	a := newAnalyses(late{release}, newMetrics(), func() {})
	tr := &tracked{key: "default/game", accepted: &accepted{wanted: *testWish("c1", "game:v2", 0)}}
	g := plan.Gate{Analysis: "smoke", When: api.MomentPod, UID: "u1"}
	a.pursue(t.Context(), tr, nil, []plan.Gate{g}, time.Now())
	a.pursue(t.Context(), tr, nil, nil, time.Now())
	a.pursue(t.Context(), tr, nil, []plan.Gate{g}, time.Now())
	close(release)
	a.wait()
	if got := a.judged(tr)[g.Key()]; got.State != plan.GateRunning {
		t.Errorf("judged %+v by a measurement from before", got)
	}
}

type late struct{ release chan struct{} }

func (l late) Measure(context.Context, api.Analysis, string, gates.Pod) gates.Measured {
	<-l.release
	return gates.Measured{Outcome: gates.Bad, Why: "of before"}
}
