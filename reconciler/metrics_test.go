package reconciler

import (
	"slices"
	"strings"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/kube"
	"hotpatch.dev/hotpatch/reconciler/render"
)

// shown are the lines of /metrics that begin so.
func (r *Reconciler) shown(t *testing.T, prefix string) (lines []string) {
	t.Helper()
	code, body := call(t, "GET", serveEndpoints(t, &endpoints{metrics: r.metrics, files: r.files})+"/metrics", nil)
	if code != 200 {
		t.Fatalf("%d: %s", code, body)
	}
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, prefix) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

func TestMetricsShowProtectedPodsAndThePhase(t *testing.T) {
	s := newStage(t)
	busy := runningPod("game-0")
	busy.Labels = map[string]string{"match": "on"}
	s.cluster = &scripted{pods: []kube.Pod{busy, runningPod("game-1")}}
	wish := item("game", ".")
	wish.HotPatch.Spec.Suspend = true
	s.commit("c1", render.Result{Items: []render.Item{wish}})
	if got := s.shown(t, "hotpatch_phase"); len(got) != 1 || got[0] != `hotpatch_phase{name="game",namespace="default",phase="Paused"} 1` {
		t.Errorf("the phase is shown as %q", got)
	}

	wish.HotPatch.Spec.Suspend = false
	wish.HotPatch.Spec.Rollout.Protect = []api.Protection{{Label: "match"}}
	content := render.Result{Items: []render.Item{wish}}
	s.commit("c2", content)
	revision := s.tracked["default/game"].accepted.revision
	changed := on(runningPod("game-1"), revision, time.Now())
	busy.Observed.Prepared = []api.PreparedImage{{Container: "main", Image: revision.Containers[0].Image, State: api.StateReady}}
	s.cluster.(*scripted).pods = []kube.Pod{busy, changed}
	s.commit("c2", content)
	for _, want := range []string{
		`hotpatch_pods{count="deferred",name="game",namespace="default"} 1`,
		`hotpatch_pods{count="updated",name="game",namespace="default"} 1`,
		`hotpatch_pods{count="total",name="game",namespace="default"} 2`,
	} {
		if got := s.shown(t, "hotpatch_pods"); !slices.Contains(got, want) {
			t.Errorf("%s is not among %q", want, got)
		}
	}

	s.commit("c3", render.Result{Items: []render.Item{item("other", ".")}})
	for _, line := range s.shown(t, "hotpatch_p") {
		if strings.Contains(line, `"game"`) {
			t.Errorf("it is gone, and shown: %s", line)
		}
	}
}

func TestMetricsCountMeasurements(t *testing.T) {
	j, _ := newJudging(t, fromTheSecond, func(r *api.Rollout, port int) {
		a := smoke(port)
		a.FailureLimit = 1
		r.Analysis = []api.Analysis{a}
	})
	j.settle(func() bool { return j.asked.Load() == 2 })
	j.analyses.wait()
	for _, want := range []string{`hotpatch_measurement_seconds_count{result="good"} 1`, `hotpatch_measurement_seconds_count{result="bad"} 1`} {
		if got := j.shown(t, "hotpatch_measurement_seconds_count"); !slices.Contains(got, want) {
			t.Errorf("%s is not among %q", want, got)
		}
	}
}
