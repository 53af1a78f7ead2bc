package nodeagent

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/plain"
)

// report writes what was observed, if that means anything new, and notes on our
// copy of the pod that it did. Annotation, label and condition go in one call:
// nobody sees one without the others. The status subresource takes metadata
// along, so the agent needs no right to change pods otherwise.
func (a *Agent) report(ctx context.Context, pod *corev1.Pod, before, after api.Observed) error {
	after = keepTimes(before, after, time.Now().UTC().Truncate(time.Second))
	text, err := json.Marshal(after)
	if err != nil || string(text) == pod.Annotations[api.ObservedAnnotation] {
		return err
	}
	upToDate := after.Revision != "" && failureOf(after) == nil && allDone(after)
	body, err := json.Marshal(statement(pod, string(text), after, upToDate))
	if err != nil {
		return err
	}
	if _, err := a.kube.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, body, metav1.PatchOptions{}, "status"); err != nil {
		return fmt.Errorf("write what was observed on pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	a.said.note(pod, string(text))
	metav1.SetMetaDataAnnotation(&pod.ObjectMeta, api.ObservedAnnotation, string(text))
	a.tell(pod, before, after, upToDate)
	return nil
}

// statement is the patch of a pod that says what was observed.
func statement(pod *corev1.Pod, text string, after api.Observed, upToDate bool) map[string]any {
	metadata := map[string]any{"uid": pod.UID, "annotations": map[string]string{api.ObservedAnnotation: text}}
	if upToDate {
		metadata["labels"] = map[string]string{api.RevisionLabel: after.Revision}
	}
	patch := map[string]any{"metadata": metadata}
	if after.Revision != "" || len(after.Containers) > 0 { // else images were prepared, nothing more was asked
		patch["status"] = map[string]any{"conditions": []corev1.PodCondition{conditionOf(pod, after, upToDate)}}
	}
	return patch
}

// keepTimes gives each container the time it entered its state: the old one
// while nothing else changed.
func keepTimes(before, after api.Observed, now time.Time) api.Observed {
	was := map[string]api.ObservedContainer{}
	for _, c := range before.Containers {
		was[c.Name] = c
	}
	for i, c := range after.Containers {
		old := was[c.Name]
		c.Time = old.Time
		if c != old || old.Time.IsZero() {
			c.Time = now
		}
		after.Containers[i] = c
	}
	return after
}

func allDone(o api.Observed) bool {
	for _, c := range o.Containers {
		if !c.State.Done() {
			return false
		}
	}
	return true
}

func observedOf(pod *corev1.Pod) (o api.Observed) {
	// One that cannot be read is written anew.
	json.Unmarshal([]byte(pod.Annotations[api.ObservedAnnotation]), &o)
	return o
}

// conditionOf is the pod's condition; its time is that of the last change
// between true and false.
func conditionOf(pod *corev1.Pod, after api.Observed, upToDate bool) corev1.PodCondition {
	condition := corev1.PodCondition{Type: api.UpToDateCondition, Status: corev1.ConditionTrue, Reason: "Observed",
		Message: "revision " + after.Revision, LastTransitionTime: metav1.Now()}
	if !upToDate {
		condition.Status, condition.Reason = corev1.ConditionFalse, "NotObserved"
		if err := failureOf(after); err != nil {
			condition.Reason, condition.Message = "Failed", err.Error()
		}
	}
	for _, was := range pod.Status.Conditions {
		if was.Type == condition.Type && was.Status == condition.Status {
			condition.LastTransitionTime = was.LastTransitionTime
		}
	}
	return condition
}

// tell has `kubectl describe` say that a patch took, or failed.
func (a *Agent) tell(pod *corev1.Pod, before, after api.Observed, upToDate bool) {
	failed, was := failureOf(after), failureOf(before)
	switch {
	case failed != nil && (was == nil || was.Error() != failed.Error()):
		a.events.Eventf(pod, corev1.EventTypeWarning, api.EventFailed, "fail to update pod %s hot-patch: %v", pod.Name, failed)
	case failed == nil && upToDate && !sameRoots(before, after):
		a.events.Eventf(pod, corev1.EventTypeNormal, api.EventPatched, "successfully update pod %s hot-patch: %s%s", pod.Name, rootsOf(after), because(pod, after))
	}
}

// because is why the reconciler told the pod of the revision that it is on.
func because(pod *corev1.Pod, after api.Observed) string {
	if d, _, _ := asked(pod); d.Reason != "" && d.Revision == after.Revision {
		return "; reason: " + plain.Text(d.Reason, maxMessage)
	}
	return ""
}

// rootsOf says what each container is on.
func rootsOf(o api.Observed) string {
	var out []string
	for _, c := range o.Containers {
		root := fmt.Sprintf("container %s is on %s", c.Name, c.Image)
		if c.Ignored != "" {
			root += ", without its " + c.Ignored
		}
		out = append(out, root)
	}
	return strings.Join(out, ", ")
}

// sameRoots tells whether every container is on the root it was on.
func sameRoots(before, after api.Observed) bool {
	was := map[string]api.ObservedContainer{}
	for _, c := range before.Containers {
		was[c.Name] = c
	}
	for _, c := range after.Containers {
		old := was[c.Name]
		untouched := old.ContainerID == "" && c.State == api.StateRestored
		if !untouched && (old.ContainerID != c.ContainerID || old.Image != c.Image || old.State != c.State) {
			return false
		}
	}
	return true
}
