package reconciler

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/gitsource"
	"hotpatch.dev/hotpatch/reconciler/render"
)

// stage is a loop whose commits a test writes.
type stage struct {
	*loop
	t *testing.T
}

func newStage(t *testing.T) stage {
	r := newProcess(&scripted{})
	r.follower = &follower{}
	return stage{&loop{Reconciler: r, life: context.Background(), tracked: map[string]*tracked{}}, t}
}

// commit makes a rendered commit the newest, and passes until nothing is under
// way.
func (s stage) commit(id string, content render.Result) map[string]result {
	s.t.Helper()
	s.follower.newest = &rendered{Result: content, snapshot: &gitsource.Snapshot{Commit: id}}
	for range 3 {
		s.pass(context.Background(), newCommit)
		s.jobs.wait()
	}
	return s.recorder.latest
}

func item(name, root string) render.Item {
	w := testWish("", "game@sha256:"+strings.Repeat("a", 64), 0)
	w.HotPatch.Metadata.Name, w.HotPatch.Spec.Target.Name = name, name
	return render.Item{HotPatch: w.HotPatch, File: root + "/" + name + ".yaml", Root: root}
}

func keys(results map[string]result) string {
	return strings.Join(slices.Sorted(maps.Keys(results)), " ")
}

func TestBrokenObjectStopsOnlyItself(t *testing.T) {
	s := newStage(t)
	s.commit("c1", render.Result{Items: []render.Item{item("a", "."), item("b", ".")}})
	bad := &api.Error{File: "a.yaml", Object: "HotPatch default/a", Field: "spec.rollout.partition", Reason: "want a number"}
	changed := item("b", ".")
	changed.HotPatch.Spec.Containers[0].Image = "registry.example/game@sha256:" + strings.Repeat("b", 64)

	got := s.commit("c2", render.Result{Items: []render.Item{changed}, Errors: []error{bad}, Broken: map[string]error{"default/a": bad}})

	a, b := got["default/a"], got["default/b"]
	if a.status.Phase != api.PhaseDegraded || !strings.Contains(a.status.Message, "a.yaml: HotPatch default/a: spec.rollout.partition: want a number") {
		t.Errorf("a: %s %q", a.status.Phase, a.status.Message)
	}
	if a.subject != "a: spec.rollout.partition: want a number" || a.status.Source.Commit != "c1" {
		t.Errorf("a: subject %q, source %+v", a.subject, a.status.Source)
	}
	if b.status.Phase == api.PhaseDegraded || b.status.Source.Commit != "c2" || b.status.Containers[0].Image != "registry.example/game@sha256:"+strings.Repeat("b", 64) {
		t.Errorf("b does not go on: %+v", b.status)
	}
}

func TestHotPatchIsGoneOnlyWhenGitSaysSo(t *testing.T) {
	s := newStage(t)
	s.commit("c1", render.Result{Items: []render.Item{item("a", "x"), item("b", "y")}})

	got := s.commit("c2", render.Result{Items: []render.Item{item("b", "y")}, Failed: []string{"x"}, Errors: []error{errors.New("x/kustomization.yaml: no such file: typo.yaml")}})
	if keys(got) != "default/a default/b" || !strings.Contains(got["default/a"].status.Message, "typo.yaml") {
		t.Errorf("x does not render: there are %s, a says %q", keys(got), got["default/a"].status.Message)
	}

	if got := s.commit("c3", render.Result{Items: []render.Item{item("b", "y")}}); keys(got) != "default/b" {
		t.Errorf("a was removed: there are %s", keys(got))
	}
}

func TestCommitThatAsksForTheSameIsNoNews(t *testing.T) {
	s := newStage(t)
	before := s.commit("c1", render.Result{Items: []render.Item{item("a", ".")}})["default/a"]
	after := s.commit("c2", render.Result{Items: []render.Item{item("a", ".")}})["default/a"]
	if after.status.Source.Commit != "c1" || !sameMeaning(before.status, after.status) {
		t.Errorf("before %+v\nafter  %+v", before.status, after.status)
	}
}
