package reconciler

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/kube"
	"hotpatch.dev/hotpatch/reconciler/plan"
	"hotpatch.dev/hotpatch/reconciler/render"
)

// failed has a pod's agent say that it could not.
func failed(pod kube.Pod, why string) kube.Pod {
	for i := range pod.Observed.Containers {
		pod.Observed.Containers[i].State, pod.Observed.Containers[i].Message = api.StateFailed, why
	}
	return pod
}

// rollingBack is a stage whose HotPatch is to be rolled back, with a pod that was
// seen to fail and one that was not, and what is written to them.
func rollingBack(t *testing.T) (stage, render.Item, *written) {
	s, pods, cluster := newStage(t), &written{}, &scripted{}
	s.cluster, s.executor.pods = cluster, pods
	wish := item("game", ".")
	wish.HotPatch.Spec.Rollout.OnFailure = api.FailureRollback
	s.commit("c1", render.Result{Items: []render.Item{wish}})
	revision := s.tracked["default/game"].accepted.revision
	cluster.pods = []kube.Pod{failed(on(runningPod("game-0"), revision, time.Now()), "no space"), runningPod("game-1")}
	return s, wish, pods
}

func (w *written) desired(pod, image string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.log, func(line string) bool {
		return strings.HasPrefix(line, pod+"@7 desired=") && strings.Contains(line, image)
	})
}

func TestVerdictIsActedOnAtOnceAndRecorded(t *testing.T) {
	s, wish, pods := rollingBack(t)
	got := s.commit("c1", render.Result{Items: []render.Item{wish}})["default/game"]
	if !pods.desired("game-0", `{"name":"main"}`) || pods.desired("game-1", "") {
		t.Errorf("written: %q", pods.log)
	}
	v := got.status.Verdict
	if v == nil || v.Do != api.FailureRollback || v.Revision != got.status.Revision || v.Reason != "pod game-0: container main: no space" {
		t.Fatalf("verdict %+v", v)
	}
	if want := "rolling back: pod game-0: container main: no space"; !strings.HasSuffix(got.subject, want) {
		t.Errorf("subject %q", got.subject)
	}
	text, err := api.EncodeStatus(got.status)
	if err != nil {
		t.Fatal(err)
	}
	again, err := api.DecodeStatus("game.yaml", text)
	if err != nil || !again.Verdict.Since.Equal(v.Since) || again.Verdict.Spec != v.Spec {
		t.Errorf("read back as %+v, %v", again.Verdict, err)
	}
}

// Another process, which knows nothing but the record and the pods, does not try
// the revision again; a commit that says anything else of the HotPatch has it tried.
func TestVerdictSurvivesTheProcessAndNoCommit(t *testing.T) {
	s, wish, _ := rollingBack(t)
	before := s.commit("c1", render.Result{Items: []render.Item{wish}})["default/game"].status

	next, pods := newStage(t), &written{}
	next.cluster, next.executor.pods = &scripted{pods: []kube.Pod{runningPod("game-0"), runningPod("game-1")}}, pods
	next.tracked["default/game"] = &tracked{key: "default/game", record: before}
	got := next.commit("c2", render.Result{Items: []render.Item{wish}})["default/game"]
	if got.status.Phase != api.PhaseRolledBack || len(pods.log) > 0 || !sameMeaning(got.status, next.commit("c3", render.Result{Items: []render.Item{wish}})["default/game"].status) {
		t.Errorf("%s %q, written %q", got.status.Phase, got.status.Message, pods.log)
	}

	wish.HotPatch.Spec.Suspend = true
	if got := next.commit("c4", render.Result{Items: []render.Item{wish}})["default/game"]; got.status.Verdict == nil {
		t.Error("suspending has lifted the verdict")
	}
	wish.HotPatch.Spec.Suspend = false
	wish.HotPatch.Spec.Rollout.MaxConcurrent = api.Count(2)
	got = next.commit("c5", render.Result{Items: []render.Item{wish}})["default/game"]
	if got.status.Verdict != nil || got.status.Phase != api.PhaseProgressing {
		t.Errorf("after a commit: %s, verdict %+v", got.status.Phase, got.status.Verdict)
	}
}

// What says nothing of the revision does not speak against it.
func TestOnlyWhatASidecarSaysOfTheFileIsARefusal(t *testing.T) {
	for code, refused := range map[int]bool{400: true, 401: false, 403: false, 500: true, 503: false} {
		e, pod := testExecutor(&written{}), testPod("web-0")
		pod.Sidecar = answering(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", code) })
		revision := plan.Revision{ID: "r2", Files: []api.DesiredFile{{Path: "map.json", Version: "v2", SHA256: "aa"}}}
		if err := e.do(t, pod, plan.Apply, revision); err == nil {
			t.Fatalf("%d is no error", code)
		}
		pods := []kube.Pod{pod}
		e.overlay(pods, nil, "r2", "r1")
		if pods[0].SidecarError == "" || pods[0].Refused != refused {
			t.Errorf("%d: %q, refused %t", code, pods[0].SidecarError, pods[0].Refused)
		}
		pods[0].Refused = false
		if e.overlay(pods, nil, "r3", "r2"); pods[0].Refused {
			t.Errorf("%d: an answer to the stable revision speaks against another", code)
		}
	}
	e := testExecutor(&written{fail: errors.New("the API server is away")})
	_ = e.do(t, testPod("game-0"), plan.Apply, v2)
	pods := []kube.Pod{testPod("game-0")}
	if e.overlay(pods, nil, v2.ID); pods[0].Refused || pods[0].SidecarError == "" {
		t.Errorf("the API server's trouble is the revision's: %+v", pods[0])
	}
}

// What a sidecar said before Git asked anew is not held against the revision.
func TestOldRefusalsAreForgivenWithTheVerdict(t *testing.T) {
	s, wish, _ := rollingBack(t)
	s.commit("c1", render.Result{Items: []render.Item{wish}})
	revision := s.tracked["default/game"].accepted.revision.ID
	key, job := "uid-game-1", wishOf(revision)
	refused := func() bool { return s.jobs.failed(key, job) != nil }
	_ = s.retries.note(key+" "+job, refusal{"no"})
	if s.pass(t.Context(), resync); !refused() {
		t.Fatal("forgiven though Git says the same")
	}
	wish.HotPatch.Spec.Rollout.MaxConcurrent = api.Count(2)
	if s.commit("c2", render.Result{Items: []render.Item{wish}}); refused() {
		t.Error("held against it for ever")
	}
}

func wishOf(revision string) string {
	return wish(plan.Action{Kind: plan.Apply, Revision: plan.Revision{ID: revision}})
}

// Whether a pod was Ready is told with the revision, and not again later.
func TestReadinessIsToldWithTheRevision(t *testing.T) {
	w, e, pod := &written{}, testExecutor(nil), testPod("game-0")
	e.pods, pod.Ready = w, true
	if err := e.do(t, pod, plan.Apply, v2); err != nil {
		t.Fatal(err)
	}
	pod.Ready, pod.Desired = false, api.Desired{Revision: v2.ID, Ready: true}
	if !wasReady(pod, v2) || !strings.Contains(strings.Join(w.log, "\n"), `"ready":true`) {
		t.Errorf("written: %q", w.log)
	}
	if wasReady(pod, plan.Revision{ID: "r3"}) {
		t.Error("it is not Ready before the next revision")
	}
}
