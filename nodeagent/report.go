package nodeagent

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/logging"
)

// report writes what was observed, if that means anything new, and notes on our
// copy of the pod what it says now.
func (a *Agent) report(ctx context.Context, pod *corev1.Pod, before, after api.Observed) error {
	after = keepTimes(before, after, time.Now().UTC().Truncate(time.Second))
	text, err := json.Marshal(after)
	if err != nil {
		return err
	}
	news := string(text) != pod.Annotations[api.ObservedAnnotation]
	upToDate := after.Revision != "" && failureOf(after) == nil && allDone(after)
	if news {
		if err := a.patchMetadata(ctx, pod, string(text), after, upToDate); err != nil {
			return err
		}
	}
	if after.Revision == "" && len(after.Containers) == 0 {
		return nil // images were prepared, nothing else was asked
	}
	// Looked at without news too: writing it may have failed the last time.
	if err := a.patchCondition(ctx, pod, after, upToDate); err != nil {
		return err
	}
	if news {
		a.event(ctx, pod, before, after, upToDate)
	}
	return nil
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

func (a *Agent) patchMetadata(ctx context.Context, pod *corev1.Pod, observed string, after api.Observed, upToDate bool) error {
	metadata := map[string]any{"uid": pod.UID, "annotations": map[string]string{api.ObservedAnnotation: observed}}
	if upToDate {
		metadata["labels"] = map[string]string{api.RevisionLabel: after.Revision}
	}
	body, err := json.Marshal(map[string]any{"metadata": metadata})
	if err != nil {
		return err
	}
	if _, err := a.kube.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.MergePatchType, body, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("write what was observed on pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	metav1.SetMetaDataAnnotation(&pod.ObjectMeta, api.ObservedAnnotation, observed)
	return nil
}

func (a *Agent) patchCondition(ctx context.Context, pod *corev1.Pod, after api.Observed, upToDate bool) error {
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
			if was.Message == condition.Message {
				return nil
			}
		}
	}
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID}, "status": map[string]any{"conditions": []corev1.PodCondition{condition}}})
	if err != nil {
		return err
	}
	if _, err := a.kube.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, body, metav1.PatchOptions{}, "status"); err != nil {
		return fmt.Errorf("write the condition of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return nil
}

// event tells `kubectl describe` of a patch that took, or failed. Losing one is
// not worth a retry.
func (a *Agent) event(ctx context.Context, pod *corev1.Pod, before, after api.Observed, upToDate bool) {
	reason, kind, message := api.EventPatched, corev1.EventTypeNormal, fmt.Sprintf("successfully update pod %s hot-patch", pod.Name)
	if err := failureOf(after); err != nil {
		reason, kind, message = api.EventFailed, corev1.EventTypeWarning, fmt.Sprintf("fail to update pod %s hot-patch: %v", pod.Name, err)
		if failed := failureOf(before); failed != nil && failed.Error() == err.Error() {
			return // said already
		}
	} else if !upToDate || sameRoots(before, after) {
		return
	}
	now := metav1.Now()
	_, err := a.kube.CoreV1().Events(pod.Namespace).Create(ctx, &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{GenerateName: pod.Name + ".", Namespace: pod.Namespace},
		InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		Reason:         reason, Type: kind, Message: message, FirstTimestamp: now, LastTimestamp: now, Count: 1,
		Source: corev1.EventSource{Component: "hotpatch-agent", Host: a.options.NodeName},
	}, metav1.CreateOptions{})
	if err != nil {
		logging.From(ctx).WithError(err).Debug("event not written")
	}
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
