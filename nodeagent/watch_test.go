package nodeagent

import (
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"hotpatch.dev/hotpatch/api"
)

func TestTrimKeepsWhatWeRead(t *testing.T) {
	pod := newPod("game-1", map[string]string{api.DesiredAnnotation: "{}", "other/large": "x"})
	pod.Spec.Containers[0].Image = "r/game:v1"
	pod.Spec.InitContainers = []corev1.Container{{Name: "sidecar"}}
	pod.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "sidecar", ImageID: "s", Image: "r/s:v1"}}
	pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: api.UpToDateCondition})
	trimmed, err := trim(pod)
	if err != nil {
		t.Fatal(err)
	}
	small := trimmed.(*corev1.Pod)
	if keys := slices.Collect(maps.Keys(small.Annotations)); !slices.Equal(keys, []string{api.DesiredAnnotation}) {
		t.Errorf("annotations %v", keys)
	}
	if !hasContainer(small, "main") || !hasContainer(small, "sidecar") || hasContainer(small, "other") {
		t.Errorf("containers %v and %v", small.Spec.Containers, small.Spec.InitContainers)
	}
	if got := ownImage(small, api.DesiredContainer{Name: "sidecar"}, situation{OnOwn: true}); got != "s" {
		t.Errorf("the sidecar's image is %q", got)
	}
	if small.UID != pod.UID || len(small.Status.Conditions) != 1 || small.Spec.Containers[0].Image != "" || small.Status.InitContainerStatuses[0].Image != "" {
		t.Errorf("got %+v", small)
	}
	if other, err := trim("no pod"); err != nil || other != "no pod" {
		t.Errorf("what is no pod became %v, %v", other, err)
	}
}

func TestWhatWeWroteWakesNobody(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*corev1.Pod)
		want   bool
	}{
		"nothing":       {func(*corev1.Pod) {}, false},
		"observed":      {func(p *corev1.Pod) { p.Annotations[api.ObservedAnnotation] = "{}" }, false},
		"our condition": {func(p *corev1.Pod) { p.Status.Conditions = nil }, false},
		"desired":       {func(p *corev1.Pod) { p.Annotations[api.DesiredAnnotation] = "{}" }, true},
		"prepare":       {func(p *corev1.Pod) { p.Annotations[api.PrepareAnnotation] = "{}" }, true},
		"a restart":     {func(p *corev1.Pod) { p.Status.ContainerStatuses[0].ContainerID = "containerd://2" }, true},
		"a sidecar's": {func(p *corev1.Pod) {
			p.Status.InitContainerStatuses = []corev1.ContainerStatus{{ContainerID: "containerd://3"}}
		}, true},
	} {
		before := newPod("game-1", map[string]string{})
		after := before.DeepCopy()
		c.change(after)
		if got := changed(before, after); got != c.want {
			t.Errorf("%s: changed is %v", name, got)
		}
	}
}
