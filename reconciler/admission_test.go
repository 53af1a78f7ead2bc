package reconciler

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/kube"
	"hotpatch.dev/hotpatch/reconciler/render"
)

// policy are admission controls that say no while there is a reason to.
type policy struct {
	mu      sync.Mutex
	refuses error
	asked   []string
}

func (p *policy) Admit(_ context.Context, pod kube.Pod, images map[string]string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, image := range images {
		p.asked = append(p.asked, pod.Name+" "+name+" "+image)
	}
	return p.refuses
}

func (p *policy) set(err error) (asked int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuses = err
	return len(p.asked)
}

func TestRefusedImageChangesNothingUntilItIsAdmitted(t *testing.T) {
	s, pods, policy := newStage(t), &written{}, &policy{refuses: errors.New("the cluster does not admit the new image: not\nsigned")}
	s.cluster, s.executor.pods, s.admission.cluster = &scripted{pods: []kube.Pod{runningPod("game-0")}}, pods, policy
	wish := render.Result{Items: []render.Item{item("game", ".")}}
	got := s.commit("c1", wish)["default/game"].status
	if got.Phase != api.PhaseDegraded || !strings.Contains(got.Message, ": the cluster does not admit the new image: not; signed; nothing was changed") {
		t.Errorf("%s %q", got.Phase, got.Message)
	}
	if len(pods.log) != 0 {
		t.Errorf("written: %q", pods.log)
	}
	if want := "game-0 main docker.io/library/game@sha256:" + strings.Repeat("a", 64); len(policy.asked) != 1 || policy.asked[0] != want {
		t.Errorf("asked %q", policy.asked)
	}

	policy.set(nil)
	time.Sleep(2 * firstRetry)
	got = s.commit("c1", wish)["default/game"].status
	if got.Phase != api.PhaseProgressing || !strings.Contains(strings.Join(pods.log, "\n"), "prepare=") {
		t.Errorf("%s %q, written %q", got.Phase, got.Message, pods.log)
	}
	if asked := policy.set(nil); asked != 2 {
		t.Errorf("asked %d times", asked)
	}
}

// Controls that cannot be asked have admitted nothing.
func TestSilentControlsHoldARevision(t *testing.T) {
	s, pods := newStage(t), &written{}
	s.cluster, s.executor.pods = &scripted{pods: []kube.Pod{runningPod("game-0")}}, pods
	s.admission.cluster = &policy{refuses: kube.ErrChanged}
	got := s.commit("c1", render.Result{Items: []render.Item{item("game", ".")}})["default/game"].status
	if got.Phase != api.PhaseProgressing || len(pods.log) != 0 {
		t.Errorf("the pod asked about has changed: %s %q, written %q", got.Phase, got.Message, pods.log)
	}
}

// What some pod was told of was admitted before a restart.
func TestAdmittedRevisionIsNotAskedAboutAgain(t *testing.T) {
	s, policy := newStage(t), &policy{}
	cluster := &scripted{}
	s.cluster, s.admission.cluster = cluster, policy
	wish := render.Result{Items: []render.Item{item("game", ".")}}
	s.commit("c1", wish)
	revision := s.tracked["default/game"].accepted.revision
	cluster.pods = []kube.Pod{on(runningPod("game-0"), revision, noon), runningPod("game-1")}
	s.commit("c1", wish)
	if len(policy.asked) != 0 {
		t.Errorf("asked %q", policy.asked)
	}
}
