package nodeagent

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	kuberuntime "k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"

	"hotpatch.dev/hotpatch/api"
)

func observed(revision string, containers ...api.ObservedContainer) api.Observed {
	return api.Observed{Revision: revision, Containers: containers}
}

func onMain(state api.State, image, message string) api.ObservedContainer {
	return api.ObservedContainer{Name: "main", ContainerID: "containerd://1", State: state, Image: image, Message: message}
}

func TestTimesChangeWithTheStateAlone(t *testing.T) {
	then, now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC), time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	was := onMain(api.StatePatched, "v2", "")
	was.Time = then
	for name, c := range map[string]struct {
		is   api.ObservedContainer
		want time.Time
	}{
		"the same":        {onMain(api.StatePatched, "v2", ""), then},
		"another image":   {onMain(api.StatePatched, "v3", ""), now},
		"another state":   {onMain(api.StateFailed, "v2", "no"), now},
		"never seen":      {api.ObservedContainer{Name: "other"}, now},
		"another restart": {api.ObservedContainer{Name: "main", ContainerID: "containerd://2", State: api.StatePatched, Image: "v2"}, now},
	} {
		after := keepTimes(observed("r1", was), observed("r1", c.is), now)
		if got := after.Containers[0].Time; !got.Equal(c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestReport(t *testing.T) {
	ok, failed := onMain(api.StatePatched, "v2", ""), onMain(api.StateFailed, "v1", "no")
	for name, c := range map[string]struct {
		before, after                  api.Observed
		status, reason, message, event string
	}{
		"it took":              {observed(""), observed("r2", ok), "True", "Observed", "revision r2", api.EventPatched},
		"it failed":            {observed(""), observed("r2", failed), "False", "Failed", "container main: no", api.EventFailed},
		"still failing":        {observed("r1", failed), observed("r2", failed), "False", "Failed", "container main: no", ""},
		"failed, then took":    {observed("r2", failed), observed("r2", ok), "True", "Observed", "revision r2", api.EventPatched},
		"a root as it was":     {observed("r1", ok), observed("r2", ok), "True", "Observed", "revision r2", ""},
		"never touched":        {observed(""), observed("r2", onMain(api.StateRestored, "v1", "")), "True", "Observed", "revision r2", ""},
		"back on its own":      {observed("r1", ok), observed("r2", onMain(api.StateRestored, "v1", "")), "True", "Observed", "revision r2", api.EventPatched},
		"waiting":              {observed("r2", ok), observed("r2", api.ObservedContainer{Name: "main", State: api.StateWaiting}), "False", "NotObserved", "revision r2", ""},
		"one of two waits":     {observed(""), observed("r2", ok, api.ObservedContainer{Name: "b", State: api.StateWaiting}), "False", "NotObserved", "revision r2", ""},
		"files alone":          {observed(""), observed("r2"), "True", "Observed", "revision r2", ""},
		"prepared, none asked": {observed(""), api.Observed{Prepared: []api.PreparedImage{{Image: "v2", State: api.StateReady}}}, "", "", "", ""},
	} {
		kube := newCluster(newPod("game-1", nil))
		a := newFakeAgent(t, kube, &fakePuller{})
		if err := a.report(t.Context(), getPod(t, kube), c.before, c.after); err != nil {
			t.Fatal(err)
		}
		pod := getPod(t, kube)
		var got corev1.PodCondition
		if condition := upToDate(pod); condition != nil {
			got = *condition
		}
		if string(got.Status) != c.status || got.Reason != c.reason || got.Message != c.message {
			t.Errorf("%s: the condition is %+v", name, got)
		}
		if label := pod.Labels[api.RevisionLabel]; (label == "r2") != (c.status == "True") {
			t.Errorf("%s: the label is %q", name, label)
		}
		if said := strings.Join(told(a), " "); said != c.event {
			t.Errorf("%s: events %q, want %q", name, said, c.event)
		}
		if !slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady }) {
			t.Errorf("%s: kubelet's conditions are %+v", name, pod.Status.Conditions)
		}
	}
}

// The plan's words reach who describes a pod, as they are.
func TestEventsSayWhyAPodWasTold(t *testing.T) {
	kube := newCluster(newPod("game-1", map[string]string{api.DesiredAnnotation: `{"revision": "r2", "reason": "2 of 8 pods should be on it"}`}))
	a := newFakeAgent(t, kube, &fakePuller{})
	pod := getPod(t, kube)
	a.tell(pod, observed("r1"), observed("r2", onMain(api.StatePatched, "v2", "")), true)
	a.tell(pod, observed("r1"), observed("r3", onMain(api.StatePatched, "v3", "")), true) // told of another meanwhile
	said := a.events.(*record.FakeRecorder).Events
	if got := <-said; !strings.HasSuffix(got, "container main is on v2; reason: 2 of 8 pods should be on it") {
		t.Errorf("the event is %q", got)
	}
	if got := <-said; strings.Contains(got, "reason") {
		t.Errorf("the event is %q", got)
	}
}

func TestWhatIsKnownIsNotWrittenAgain(t *testing.T) {
	kube := newCluster(newPod("game-1", nil))
	a := newFakeAgent(t, kube, &fakePuller{})
	for i := range 3 {
		pod := getPod(t, kube)
		if err := a.report(t.Context(), pod, observedOf(pod), observed("r2", onMain(api.StatePatched, "v2", ""))); err != nil {
			t.Fatal(err)
		}
		if n := patches(kube); n != 1 {
			t.Errorf("%d patches after %d reports, want one", n, i+1)
		}
	}
	since := upToDate(getPod(t, kube)).LastTransitionTime
	pod := getPod(t, kube) // another revision, still up to date: the condition's time stays
	if err := a.report(t.Context(), pod, observedOf(pod), observed("r3", onMain(api.StatePatched, "v3", ""))); err != nil {
		t.Fatal(err)
	}
	if got := upToDate(getPod(t, kube)); got.Message != "revision r3" || !got.LastTransitionTime.Equal(&since) {
		t.Errorf("the condition is %+v, was since %s", got, since)
	}
}

// What could not be written is not known either.
func TestAReportThatIsLostIsWrittenLater(t *testing.T) {
	kube := newCluster(newPod("game-1", nil))
	a := newFakeAgent(t, kube, &fakePuller{})
	broken := true
	kube.PrependReactor("patch", "pods", func(action clienttesting.Action) (bool, kuberuntime.Object, error) {
		return broken, nil, errors.New("the API server went away")
	})
	for _, broken = range []bool{true, false} {
		pod := getPod(t, kube)
		err := a.report(t.Context(), pod, observedOf(pod), observed("r2", onMain(api.StatePatched, "v2", "")))
		if (err != nil) != broken || err != nil && !strings.Contains(err.Error(), "pod default/game-1") {
			t.Errorf("broken %v: got %v", broken, err)
		}
	}
	if c := upToDate(getPod(t, kube)); c == nil || c.Status != corev1.ConditionTrue {
		t.Errorf("the condition is %+v", c)
	}
	if said := told(a); !slices.Equal(said, []string{api.EventPatched}) {
		t.Errorf("events %v", said)
	}
}
