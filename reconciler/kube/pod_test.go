package kube

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Plans count from these times: what the trim lost would count as long ago.
func TestTimesSurviveTheTrim(t *testing.T) {
	ready := metav1.NewTime(time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC))
	pod := fullPod()
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: ready}}
	if got := fromPod(trimmed(t, pod)); !got.ReadySince.Equal(ready.Time) || !got.Ready {
		t.Errorf("Ready %t since %s", got.Ready, got.ReadySince)
	}
}
