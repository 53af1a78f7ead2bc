package nodeagent

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
)

func TestWhatCannotBeReadIsRefused(t *testing.T) {
	for key, text := range map[string]string{api.DesiredAnnotation: `{"revision": 7}`, api.PrepareAnnotation: "{"} {
		kube := newCluster(newPod("game-1", map[string]string{key: text}))
		a := newFakeAgent(t, kube, &fakePuller{})
		for range 2 { // saying it again says nothing new
			if again, err := a.pass(t.Context(), "default/game-1"); err != nil || again != 0 {
				t.Errorf("%s: again in %s, %v; only a change of the annotation helps", key, again, err)
			}
			pod := refresh(t, a, kube)
			is := observedOf(pod)
			if len(is.Containers) != 1 || is.Containers[0].State != api.StateFailed || !strings.Contains(is.Containers[0].Message, "annotation "+key+" cannot be read") {
				t.Errorf("%s: observed %+v", key, is)
			}
			if c := upToDate(pod); c == nil || c.Reason != "Failed" {
				t.Errorf("%s: the condition is %+v", key, c)
			}
		}
		if said := told(a); !slices.Equal(said, []string{api.EventFailed}) {
			t.Errorf("%s: events %v", key, said)
		}
	}
}

func TestARefusalKeepsWhatIsKnown(t *testing.T) {
	known := `{"revision":"r1","containers":[{"name":"main","containerID":"containerd://1","image":"v1","state":"Patched","time":"2026-01-01T12:00:00Z"}]}`
	kube := newCluster(newPod("game-1", map[string]string{api.DesiredAnnotation: "no", api.ObservedAnnotation: known}))
	a := newFakeAgent(t, kube, &fakePuller{})
	if _, err := a.pass(t.Context(), "default/game-1"); err != nil {
		t.Fatal(err)
	}
	is := observedOf(getPod(t, kube))
	if c := is.Containers[0]; is.Revision != "r1" || c.Image != "v1" || c.ContainerID != "containerd://1" || c.State != api.StateFailed {
		t.Errorf("observed %+v", is)
	}
}

// The annotation ends on what is, however often the same pull fails.
func TestAPullThatKeepsFailingStaysFailed(t *testing.T) {
	p := &fakePuller{fail: errors.New("no such host")}
	kube := newCluster(newPod("game-1", map[string]string{api.PrepareAnnotation: `{"revision":"r2","containers":[{"name":"main","image":"v2"}]}`}))
	a := newFakeAgent(t, kube, p)
	for i := range 3 {
		if _, err := a.pass(t.Context(), "default/game-1"); err == nil || !strings.Contains(err.Error(), "no such host") {
			t.Errorf("pass %d: %v", i, err)
		}
		if is := observedOf(refresh(t, a, kube)); len(is.Prepared) != 1 || is.Prepared[0].State != api.StateFailed {
			t.Errorf("pass %d left %+v", i, is)
		}
	}
	p.fail = nil
	if _, err := a.pass(t.Context(), "default/game-1"); err != nil {
		t.Error(err)
	}
	pod := refresh(t, a, kube)
	if is := observedOf(pod); len(is.Prepared) != 1 || is.Prepared[0].State != api.StateReady || is.Revision != "" || upToDate(pod) != nil {
		t.Errorf("observed %+v", is)
	}
}

func TestAPodThatIsGoneIsNoFailure(t *testing.T) {
	a := newFakeAgent(t, newCluster(newPod("game-1", nil)), &fakePuller{})
	if again, err := a.pass(t.Context(), "default/other"); again != 0 || err != nil {
		t.Errorf("again in %s, %v", again, err)
	}
}

func TestOldProcessesAreLookedAtAgain(t *testing.T) {
	for want, c := range map[time.Duration]api.ObservedContainer{
		0:           {State: api.StatePatched, Time: time.Now()},
		time.Second: {State: api.StatePatched, OldProcesses: 1, Time: time.Now()},
		time.Minute: {State: api.StatePatched, StaleDirs: 1, Time: time.Now().Add(-time.Hour)},
	} {
		if again := lookAgain(observed("r1", c)); again != want {
			t.Errorf("%+v: again in %s, want %s", c, again, want)
		}
	}
}
