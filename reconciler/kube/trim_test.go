package kube

import (
	"encoding/json"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"hotpatch.dev/hotpatch/api"
)

func fullPod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "game-0", Namespace: "default", UID: "u1", ResourceVersion: "7",
			Labels:        map[string]string{"app": "game", api.RevisionLabel: "r1"},
			Annotations:   map[string]string{api.DesiredAnnotation: "{}", "kubectl.kubernetes.io/last-applied-configuration": "{…}"},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubelet"}},
		},
		Spec: corev1.PodSpec{
			NodeName:   "node-1",
			Containers: []corev1.Container{{Name: "main", Image: "game:v1", Env: []corev1.EnvVar{{Name: "SECRET", Value: "x"}}}},
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: "10.0.0.7",
			Conditions:        []corev1.PodCondition{{Type: corev1.PodScheduled}, {Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "main", ContainerID: "containerd://a", RestartCount: 3}},
		},
	}
}

func trimmed(t *testing.T, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	object, err := trimmer{}.trim(pod)
	if err != nil {
		t.Fatal(err)
	}
	return object.(*corev1.Pod)
}

func TestTrimKeepsNothingElse(t *testing.T) {
	pod := trimmed(t, fullPod())
	text, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	if len(pod.ManagedFields) != 0 || len(pod.Spec.Containers[0].Env) != 0 || len(pod.Annotations) != 1 {
		t.Errorf("kept too much: %s", text)
	}
	if pod.UID != "u1" || pod.Spec.NodeName != "node-1" || pod.Status.PodIP != "10.0.0.7" || len(pod.Status.Conditions) != 1 {
		t.Errorf("lost what plans need: %s", text)
	}
}

func TestTrimKeepsWhatIsAskedFor(t *testing.T) {
	pod := fullPod()
	pod.Annotations["example.org/match"] = "8234"
	pod.OwnerReferences = []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "game"}}
	scope := Scope{Namespace: "default", Owner: "u0"}.Keeping([]string{"example.org/match", "example.org/other"})
	object, err := scope.trimmer().trim(pod)
	if err != nil {
		t.Fatal(err)
	}
	kept := object.(*corev1.Pod)
	if kept.Annotations["example.org/match"] != "8234" || len(kept.Annotations) != 2 || len(kept.OwnerReferences) != 1 {
		t.Errorf("kept %v, owners %v", kept.Annotations, kept.OwnerReferences)
	}
	if kept := trimmed(t, pod); len(kept.Annotations) != 1 || len(kept.OwnerReferences) != 0 {
		t.Errorf("nobody asked for %v, owners %v", kept.Annotations, kept.OwnerReferences)
	}
}

func TestWhereAnAgentHasBeenIsKnownFromItsLabel(t *testing.T) {
	if got := fromPod(trimmed(t, fullPod())); !got.Touched || got.Labels[api.RevisionLabel] != "" {
		t.Errorf("touched %t, label %q", got.Touched, got.Labels[api.RevisionLabel])
	}
	pod := fullPod()
	delete(pod.Labels, api.RevisionLabel)
	if fromPod(trimmed(t, pod)).Touched {
		t.Error("no agent has been there")
	}
}

func TestOnlyWhatThePlannerReadsIsAChange(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*corev1.Pod)
		same   bool
	}{
		"heartbeat":      {func(p *corev1.Pod) { p.ResourceVersion = "8"; p.Status.Conditions[0].LastProbeTime = metav1.Now() }, true},
		"agent's label":  {func(p *corev1.Pod) { p.Labels[api.RevisionLabel] = "r2" }, true},
		"observed":       {func(p *corev1.Pod) { p.Annotations[api.ObservedAnnotation] = "{}" }, false},
		"not ready":      {func(p *corev1.Pod) { p.Status.Conditions[1].Status = corev1.ConditionFalse }, false},
		"new container":  {func(p *corev1.Pod) { p.Status.ContainerStatuses[0].ContainerID = "containerd://b" }, false},
		"being deleted":  {func(p *corev1.Pod) { now := metav1.Now(); p.DeletionTimestamp = &now }, false},
		"priority label": {func(p *corev1.Pod) { p.Labels["priority"] = "3" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			after := fullPod()
			c.change(after)
			if got := sameToPlanner(trimmed(t, fullPod()), trimmed(t, after)); got != c.same {
				t.Errorf("same: %v, want %v", got, c.same)
			}
		})
	}
}

func TestOwnWriteIsSeenUntilTheWatchHasCaughtUp(t *testing.T) {
	at := func(uid types.UID, version string) *corev1.Pod {
		p := fullPod()
		p.UID, p.ResourceVersion = uid, version
		return p
	}
	for name, c := range map[string]struct {
		own, cached *corev1.Pod
		want        bool
	}{
		"watch is behind":    {at("u1", "10"), at("u1", "9"), true},
		"watch has seen it":  {at("u1", "10"), at("u1", "10"), false},
		"watch is ahead":     {at("u1", "10"), at("u1", "11"), false},
		"pod was made again": {at("u1", "10"), at("u2", "9"), false},
	} {
		if got := newer(c.own, c.cached); got != c.want {
			t.Errorf("%s: own write is shown: %v, want %v", name, got, c.want)
		}
	}
}

func TestPatchHitsOnlyThePodItWasMadeFor(t *testing.T) {
	value := "{}"
	got, err := annotationPatch(Ref{"default", "game-0", "u1", "7"}, map[string]*string{api.DesiredAnnotation: &value, api.PrepareAnnotation: nil})
	want := `{"metadata":{"annotations":{"hotpatch.dev/desired":"{}","hotpatch.dev/prepare":null},"resourceVersion":"7","uid":"u1"}}`
	if err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
}
