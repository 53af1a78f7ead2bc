package nodeagent

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"hotpatch.dev/hotpatch/api"
)

func TestWhatWasSaidIsKnownBeforeTheCacheShowsIt(t *testing.T) {
	var s said
	seen := func(uid, cached string) string {
		pod := newPod("game", map[string]string{api.ObservedAnnotation: cached})
		pod.UID = types.UID(uid)
		s.correct(pod)
		return pod.Annotations[api.ObservedAnnotation]
	}
	write := func(cached, text string) {
		pod := newPod("game", map[string]string{api.ObservedAnnotation: cached})
		pod.UID = "this"
		s.note(pod, text)
	}
	write("a", "b")
	write("b", "c")
	for _, step := range []struct{ uid, cached, want string }{
		{"this", "a", "c"}, {"this", "b", "c"}, {"this", "a", "c"}, {"this", "c", "c"},
		{"this", "a", "a"}, // it was seen, so this is somebody's
	} {
		if got := seen(step.uid, step.cached); got != step.want {
			t.Errorf("the cache shows %s: it is %s, want %s", step.cached, got, step.want)
		}
	}
	write("", "b")
	if got := seen("another", ""); got != "" {
		t.Errorf("a new pod of the same name has %q", got)
	}
	write("", "b")
	s.forget("default/game")
	if got := seen("this", ""); got != "" {
		t.Errorf("one that is gone is remembered: %q", got)
	}
}
