package nodeagent

import (
	"reflect"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"hotpatch.dev/hotpatch/api"
)

// newPodInformer watches this node's pods alone.
func newPodInformer(kube kubernetes.Interface, node string) cache.SharedIndexInformer {
	factory := informers.NewSharedInformerFactoryWithOptions(kube, 0,
		informers.WithTransform(trim),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector("spec.nodeName", node).String()
		}))
	return factory.Core().V1().Pods().Informer()
}

// trim keeps of a pod what we read; the rest would only cost memory.
func trim(object any) (any, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return object, nil
	}
	small := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace, UID: pod.UID,
		ResourceVersion: pod.ResourceVersion, DeletionTimestamp: pod.DeletionTimestamp, Annotations: map[string]string{}}}
	for key, value := range pod.Annotations {
		if strings.HasPrefix(key, api.Group+"/") {
			small.Annotations[key] = value
		}
	}
	small.Spec.ImagePullSecrets = pod.Spec.ImagePullSecrets
	small.Spec.Containers = trimContainers(pod.Spec.Containers)
	small.Spec.InitContainers = trimContainers(pod.Spec.InitContainers) // sidecars are among them
	for _, c := range pod.Status.Conditions {
		if c.Type == api.UpToDateCondition {
			small.Status.Conditions = append(small.Status.Conditions, c)
		}
	}
	small.Status.ContainerStatuses = trimStatuses(pod.Status.ContainerStatuses)
	small.Status.InitContainerStatuses = trimStatuses(pod.Status.InitContainerStatuses)
	return small, nil
}

func trimContainers(containers []corev1.Container) []corev1.Container {
	var out []corev1.Container
	for _, c := range containers {
		out = append(out, corev1.Container{Name: c.Name})
	}
	return out
}

func trimStatuses(statuses []corev1.ContainerStatus) []corev1.ContainerStatus {
	var out []corev1.ContainerStatus
	for _, s := range statuses {
		out = append(out, corev1.ContainerStatus{Name: s.Name, ContainerID: s.ContainerID, ImageID: s.ImageID, State: s.State, Ready: s.Ready})
	}
	return out
}

// concernsUs tells whether a pod asks for anything.
func concernsUs(pod *corev1.Pod) bool {
	return pod.Annotations[api.DesiredAnnotation] != "" || pod.Annotations[api.PrepareAnnotation] != ""
}

// changed tells whether an update concerns us. What we wrote ourselves does
// not: it must not cut short the wait before a failure is tried again.
func changed(before, after any) bool {
	old, ok := before.(*corev1.Pod)
	pod, ok2 := after.(*corev1.Pod)
	if !ok || !ok2 {
		return true
	}
	for _, key := range []string{api.DesiredAnnotation, api.PrepareAnnotation} {
		if old.Annotations[key] != pod.Annotations[key] {
			return true
		}
	}
	return !reflect.DeepEqual(old.Status.ContainerStatuses, pod.Status.ContainerStatuses) ||
		!reflect.DeepEqual(old.Status.InitContainerStatuses, pod.Status.InitContainerStatuses)
}
