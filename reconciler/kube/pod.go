package kube

import (
	"encoding/json"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/plan"
)

// Labels and annotations of others that are read off pods.
const (
	// PriorityLabel is OpenKruiseGame's: pods with a higher number change first.
	PriorityLabel = "game.kruise.io/gs-update-priority"
	// SidecarPortAnnotation says where a pod's sidecar listens, if not on
	// DefaultSidecarPort.
	SidecarPortAnnotation = api.Group + "/sidecar-port"
	DefaultSidecarPort    = "5000"
)

// Pod is what a plan reads of a pod, and what it takes to act on it.
type Pod struct {
	plan.Pod
	Ref Ref
	// Owner is the reconciler that the pod follows; zero: none.
	Owner api.Owner
	// Containers by name, native sidecars included.
	Containers, NativeSidecars []string
	// IP of the pod; "" while it has none.
	IP string
	// Sidecar is where the pod's sidecar would listen; "" while the pod has no
	// address.
	Sidecar string
}

// Pods are those of a watched scope, by name. Until the API server has answered
// once the error is ErrNotListed; changed is called when it has.
func (c *Cluster) Pods(scope Scope) ([]Pod, error) {
	listed, err := c.pods.list(scope)
	var pods []Pod
	for _, pod := range listed {
		pods = append(pods, fromPod(pod))
	}
	return pods, err
}

func fromPod(pod *corev1.Pod) Pod {
	p := Pod{
		Pod: plan.Pod{
			Name:         pod.Name,
			UID:          string(pod.UID),
			Node:         pod.Spec.NodeName,
			Zone:         pod.Labels[corev1.LabelTopologyZone],
			Created:      pod.CreationTimestamp.Time,
			Ready:        isReady(pod),
			ReadySince:   readySince(pod),
			Reachable:    pod.Status.PodIP != "",
			Gone:         isGone(pod),
			Priority:     number(pod.Labels[PriorityLabel], 0),
			Ordinal:      ordinal(pod),
			ContainerIDs: running(pod, func(s corev1.ContainerStatus) string { return s.ContainerID }),
			OwnImages:    running(pod, func(s corev1.ContainerStatus) string { return s.ImageID }),
			Touched:      touched(pod),
			Labels:       pod.Labels,
			Annotations:  pod.Annotations,
		},
		Ref:        Ref{pod.Namespace, pod.Name, string(pod.UID), pod.ResourceVersion},
		Containers: slices.Concat(containerNames(pod), nativeSidecars(pod)),

		NativeSidecars: nativeSidecars(pod),
		IP:             pod.Status.PodIP,
		Sidecar:        sidecarAddress(pod),
	}
	read(pod, api.OwnerAnnotation, &p.Owner)
	read(pod, api.DesiredAnnotation, &p.Desired)
	read(pod, api.PrepareAnnotation, &p.Prepare)
	read(pod, api.ObservedAnnotation, &p.Observed)
	read(pod, api.FilesAnnotation, &p.Files)
	return p
}

// read leaves the zero value where an annotation is missing or not readable:
// what cannot be read was not observed, and what was asked for is asked again.
func read[T any](pod *corev1.Pod, annotation string, into *T) {
	var value T
	if json.Unmarshal([]byte(pod.Annotations[annotation]), &value) == nil {
		*into = value
	}
}

// touched: an agent has said so, be it that somebody took its annotation away.
func touched(pod *corev1.Pod) bool {
	_, labelled := pod.Labels[api.RevisionLabel]
	return labelled
}

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// readySince is when readiness last changed.
func readySince(pod *corev1.Pod) time.Time {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.LastTransitionTime.Time
		}
	}
	return time.Time{}
}

func isGone(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// ordinal is a StatefulSet pod's index; older API servers only give its name.
func ordinal(pod *corev1.Pod) int {
	if index, ok := pod.Labels["apps.kubernetes.io/pod-index"]; ok {
		return number(index, -1)
	}
	if name, ok := pod.Labels["statefulset.kubernetes.io/pod-name"]; ok {
		return number(name[strings.LastIndexByte(name, '-')+1:], -1)
	}
	return -1
}

func number(text string, otherwise int) int {
	if n, err := strconv.Atoi(text); err == nil {
		return n
	}
	return otherwise
}

// running is something of each running container by its name: one that is being
// restarted has no root to speak of.
func running(pod *corev1.Pod, of func(corev1.ContainerStatus) string) map[string]string {
	values := map[string]string{}
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for _, s := range statuses {
			if s.State.Running != nil && of(s) != "" {
				values[s.Name] = of(s)
			}
		}
	}
	return values
}

func containerNames(pod *corev1.Pod) []string {
	var names []string
	for _, c := range pod.Spec.Containers {
		names = append(names, c.Name)
	}
	return names
}

func nativeSidecars(pod *corev1.Pod) []string {
	var names []string
	for _, c := range pod.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			names = append(names, c.Name)
		}
	}
	return names
}

func sidecarAddress(pod *corev1.Pod) string {
	if pod.Status.PodIP == "" {
		return ""
	}
	port := pod.Annotations[SidecarPortAnnotation]
	if n := number(port, 0); n < 1 || n > 65535 {
		port = DefaultSidecarPort
	}
	return net.JoinHostPort(pod.Status.PodIP, port)
}
