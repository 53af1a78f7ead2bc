package reconciler

import (
	"strings"
	"testing"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/kube"
)

func namedWish(name, container string) *wanted {
	w := testWish("c1", "game:v1", 0)
	w.HotPatch.Metadata.Name = name
	w.HotPatch.Spec.Containers[0].Name = container
	return w
}

func TestPodFollowsOneHotPatch(t *testing.T) {
	pod := testPod("game-0")
	pod.Containers = []string{"main", "log"}
	c := claims{}
	if err := c.check(namedWish("first", "main"), []kube.Pod{pod}); err != nil {
		t.Fatal(err)
	}
	c.take("default/first", []kube.Pod{pod})
	err := c.check(namedWish("second", "log"), []kube.Pod{pod, testPod("game-1")})
	want := "game.yaml: HotPatch default/second: spec.target: pod game-0 already follows HotPatch default/first"
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	err = c.check(namedWish("third", "server"), []kube.Pod{pod})
	if want := `no pod has a container "server"`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("of what is wrong anyway and with others, got %v, want %s", err, want)
	}
}

func TestContainerThatNoPodHasIsNamed(t *testing.T) {
	pod := testPod("game-0")
	pod.Containers = []string{"main", "log"}
	err := claims{}.check(namedWish("game", "server"), []kube.Pod{pod})
	want := `spec.containers[0].name: no pod has a container "server"; pod game-0 has main, log`
	if err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := (claims{}).check(namedWish("game", "server"), nil); err != nil {
		t.Errorf("no pods yet: %v", err)
	}
}

func TestThoseInForceComeFirst(t *testing.T) {
	l := &loop{tracked: map[string]*tracked{
		"a/new": {key: "a/new"},
		"b/old": {key: "b/old", record: api.HotPatchStatus{Revision: "r1"}},
		"c/old": {key: "c/old", record: api.HotPatchStatus{Revision: "r1"}},
	}}
	var got []string
	for _, tr := range l.inOrder() {
		got = append(got, tr.key)
	}
	if strings.Join(got, " ") != "b/old c/old a/new" {
		t.Errorf("order %v", got)
	}
}
