package kube

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Kubernetes copies it there from the node, as of 1.35.
func TestZoneIsReadOffThePod(t *testing.T) {
	pod := fullPod()
	pod.Labels[corev1.LabelTopologyZone] = "west"
	if got := fromPod(trimmed(t, pod)); got.Zone != "west" {
		t.Errorf("zone %q", got.Zone)
	}
}

// Plans count from these times: what the trim lost would count as long ago.
func TestTimesSurviveTheTrim(t *testing.T) {
	ready := metav1.NewTime(time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC))
	pod := fullPod()
	pod.CreationTimestamp = metav1.NewTime(ready.Add(-time.Hour))
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: ready}}
	if got := fromPod(trimmed(t, pod)); !got.ReadySince.Equal(ready.Time) || !got.Ready {
		t.Errorf("Ready %t since %s", got.Ready, got.ReadySince)
	} else if !got.Created.Equal(ready.Add(-time.Hour)) {
		t.Errorf("created %s", got.Created)
	}
}
