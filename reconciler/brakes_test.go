package reconciler

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/kube"
	"hotpatch.dev/hotpatch/reconciler/render"
)

func suspension(name, reason string, namespaces ...string) render.Suspension {
	s := api.Suspension{Metadata: api.Metadata{Name: name}, Spec: api.SuspensionSpec{Namespaces: namespaces, All: len(namespaces) == 0, Reason: reason}}
	return render.Suspension{Suspension: s, File: name + ".yaml"}
}

func TestSuspensionHoldsItsNamespacesOrAll(t *testing.T) {
	s, pods := newStage(t), &written{}
	s.cluster, s.executor.pods = &scripted{pods: []kube.Pod{runningPod("game-0")}}, pods
	wish := []render.Item{item("game", ".")}
	all := suspension("freeze", "championship until Sunday")
	got := s.commit("c1", render.Result{Items: wish, Suspensions: []render.Suspension{all}})["default/game"]
	if want := "suspended in Git by Suspension freeze (championship until Sunday)"; got.status.Phase != api.PhasePaused || got.status.Message != want || !slices.Equal(got.status.SuspendedBy, []string{"freeze"}) {
		t.Errorf("%s %q by %q", got.status.Phase, got.status.Message, got.status.SuspendedBy)
	}
	if len(pods.log) != 0 {
		t.Errorf("written: %q", pods.log)
	}
	other := suspension("other", "", "elsewhere")
	got = s.commit("c2", render.Result{Items: wish, Suspensions: []render.Suspension{other}})["default/game"]
	if got.status.Phase == api.PhasePaused || len(pods.log) == 0 {
		t.Errorf("another namespace is suspended: %s %q, written %q", got.status.Phase, got.status.Message, pods.log)
	}
}

// What is wrong elsewhere in a commit does not let the brake go, nor keep it from
// being put on; the record remembers it over a restart.
func TestSuspensionActsThoughItsCommitIsBroken(t *testing.T) {
	wish := []render.Item{item("game", ".")}
	bad := errors.New("freeze.yaml: Suspension freeze: spec.namespace: unknown field")
	for name, c := range map[string]struct {
		commit render.Result
		record []string
		held   bool
	}{
		"a wish that cannot be read": {render.Result{Broken: map[string]error{"default/game": bad}, Suspensions: []render.Suspension{suspension("freeze", "")}}, nil, true},
		"it cannot be read any more": {render.Result{Items: wish, BrokenSuspensions: map[string]error{"freeze": bad}}, []string{"freeze"}, true},
		"it could never be read":     {render.Result{Items: wish, BrokenSuspensions: map[string]error{"freeze": bad}}, nil, false},
		"its folder does not build":  {render.Result{Items: wish, Failed: []string{"freezes"}}, []string{"freeze"}, true},
		"it is gone":                 {render.Result{Items: wish}, []string{"freeze"}, false},
		"it is about others by now":  {render.Result{Items: wish, Failed: []string{"x"}, Suspensions: []render.Suspension{suspension("freeze", "", "elsewhere")}}, []string{"freeze"}, false},
		"another one cannot be read": {render.Result{Items: wish, BrokenSuspensions: map[string]error{"thaw": bad}}, []string{"freeze"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.tracked["default/game"] = &tracked{key: "default/game", record: api.HotPatchStatus{Phase: api.PhasePaused, SuspendedBy: c.record}}
			got := s.commit("c1", c.commit)["default/game"]
			if held := len(got.status.SuspendedBy) > 0; held != c.held || s.tracked["default/game"].suspended() != c.held {
				t.Errorf("held by %q: %s %q", got.status.SuspendedBy, got.status.Phase, got.status.Message)
			}
		})
	}
}

// Whoever brakes in a hurry, and mistypes, sees why nothing stops.
func TestUnreadableSuspensionIsToldEverywhere(t *testing.T) {
	s := newStage(t)
	bad := errors.New("freeze.yaml: Suspension freeze: spec.namespace: unknown field")
	got := s.commit("c1", render.Result{Items: []render.Item{item("game", ".")}, BrokenSuspensions: map[string]error{"freeze": bad}})["default/game"]
	if w := strings.Join(got.status.Warnings, "\n"); w != bad.Error()+"; it suspends nothing until it can be read" {
		t.Errorf("warnings %q", w)
	}
}
