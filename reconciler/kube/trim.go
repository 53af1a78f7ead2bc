package kube

import (
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"hotpatch.dev/hotpatch/api"
)

var _ cache.TransformFunc = trimmer{}.trim

// trimmer keeps of pods what the planner reads.
type trimmer struct {
	annotations []string // of others, by name
	owners      bool
}

// trim leaves some 500 bytes of 10 KB or more.
func (t trimmer) trim(object any) (any, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return object, nil
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name:              pod.Name,
			Namespace:         pod.Namespace,
			UID:               pod.UID,
			ResourceVersion:   pod.ResourceVersion,
			CreationTimestamp: pod.CreationTimestamp,
			DeletionTimestamp: pod.DeletionTimestamp,
			Labels:            withoutRevision(pod.Labels),
			Annotations:       t.wanted(pod.Annotations),
			OwnerReferences:   t.ownersOf(pod),
		},
		Spec: corev1.PodSpec{
			NodeName:       pod.Spec.NodeName,
			Containers:     trimContainers(pod.Spec.Containers),
			InitContainers: trimContainers(pod.Spec.InitContainers),
		},
		Status: corev1.PodStatus{
			Phase:                 pod.Status.Phase,
			PodIP:                 pod.Status.PodIP,
			Conditions:            readyCondition(pod.Status.Conditions),
			ContainerStatuses:     trimStatuses(pod.Status.ContainerStatuses),
			InitContainerStatuses: trimStatuses(pod.Status.InitContainerStatuses),
		},
	}, nil
}

// wanted are our own annotations and those that were asked for.
func (t trimmer) wanted(annotations map[string]string) map[string]string {
	kept := map[string]string{}
	for key, value := range annotations {
		if strings.HasPrefix(key, api.Group+"/") || slices.Contains(t.annotations, key) {
			kept[key] = value
		}
	}
	return kept
}

func (t trimmer) ownersOf(pod *corev1.Pod) []metav1.OwnerReference {
	if !t.owners {
		return nil
	}
	return pod.OwnerReferences
}

// withoutRevision drops what agents write into their label, for people to read.
// That they did stays.
func withoutRevision(labels map[string]string) map[string]string {
	kept := map[string]string{}
	for key, value := range labels {
		if key == api.RevisionLabel {
			value = ""
		}
		kept[key] = value
	}
	return kept
}

func trimContainers(containers []corev1.Container) []corev1.Container {
	var kept []corev1.Container
	for _, c := range containers {
		kept = append(kept, corev1.Container{Name: c.Name, Image: c.Image, RestartPolicy: c.RestartPolicy})
	}
	return kept
}

func trimStatuses(statuses []corev1.ContainerStatus) []corev1.ContainerStatus {
	var kept []corev1.ContainerStatus
	for _, s := range statuses {
		status := corev1.ContainerStatus{Name: s.Name, ContainerID: s.ContainerID, ImageID: s.ImageID}
		if s.State.Running != nil {
			status.State.Running = &corev1.ContainerStateRunning{}
		}
		kept = append(kept, status)
	}
	return kept
}

func readyCondition(conditions []corev1.PodCondition) []corev1.PodCondition {
	for _, c := range conditions {
		if c.Type == corev1.PodReady {
			return []corev1.PodCondition{{Type: c.Type, Status: c.Status, LastTransitionTime: c.LastTransitionTime}}
		}
	}
	return nil
}

// sameToPlanner compares two trimmed pods.
func sameToPlanner(before, after *corev1.Pod) bool {
	a, b := *before, *after
	a.ResourceVersion, b.ResourceVersion = "", ""
	return reflect.DeepEqual(a, b)
}
