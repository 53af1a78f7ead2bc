package reconciler

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/kube/kubetest"
)

// agents are those of a cluster that real processes of the reconciler work on. They
// do what pods are told some moments later, and remember all of it.
type agents struct {
	*kubetest.Server
	mu       sync.Mutex
	ever     map[string]map[string]bool // pods that came to a revision
	told     []string                   // each revision that a pod was told
	repeated []string                   // what it had been told already
}

func obedientAgents(t *testing.T, pods ...*corev1.Pod) *agents {
	a := &agents{ever: map[string]map[string]bool{}, Server: kubetest.New(t, pods...)}
	a.Written = a.hear
	return a
}

func annotated[T any](pod *corev1.Pod, key string) (value T) {
	_ = json.Unmarshal([]byte(pod.Annotations[key]), &value) // nothing is there at first
	return value
}

func (a *agents) hear(before, after *corev1.Pod) {
	was, is := annotated[api.Desired](before, api.DesiredAnnotation), annotated[api.Desired](after, api.DesiredAnnotation)
	prepare := after.Annotations[api.PrepareAnnotation]
	prepares := prepare != "" && prepare != before.Annotations[api.PrepareAnnotation]
	if !prepares && is.Revision == was.Revision && before.Annotations[api.OwnerAnnotation] != after.Annotations[api.OwnerAnnotation] {
		return // it is given up, or taken before it is told anything
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !prepares {
		a.told = append(a.told, after.Name+" "+is.Revision)
	}
	if !prepares && is.Revision == was.Revision {
		a.repeated = append(a.repeated, after.Name+" "+is.Revision)
	}
	time.AfterFunc(time.Duration(rand.N(20))*rand.N(20*time.Millisecond), func() { a.Update(after.Name, a.obey) })
}

// obey has a pod be as it should be by now.
func (a *agents) obey(pod *corev1.Pod) {
	var is api.Observed
	for _, c := range annotated[api.Prepare](pod, api.PrepareAnnotation).Containers {
		is.Prepared = append(is.Prepared, api.PreparedImage{Container: c.Name, Image: c.Image, State: api.StateReady})
	}
	desired := annotated[api.Desired](pod, api.DesiredAnnotation)
	is.Revision = desired.Revision
	for _, c := range desired.Containers {
		is.Containers = append(is.Containers, api.ObservedContainer{Name: c.Name, ContainerID: pod.Status.ContainerStatuses[0].ContainerID, Image: c.Image, State: api.StatePatched, Time: time.Now()})
	}
	a.mu.Lock()
	if a.ever[is.Revision] == nil {
		a.ever[is.Revision] = map[string]bool{}
	}
	a.ever[is.Revision][pod.Name] = true
	a.mu.Unlock()
	text, _ := json.Marshal(is) // of strings and times
	pod.Annotations = maps.Clone(pod.Annotations)
	pod.Annotations[api.ObservedAnnotation] = string(text)
	pod.Labels = maps.Clone(pod.Labels)
	pod.Labels[api.RevisionLabel] = is.Revision
}

// reached is how many pods ever came to a revision.
func (a *agents) reached(revision string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.ever[revision])
}

// twice is what pods were told that they had been told.
func (a *agents) twice() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.repeated
}
