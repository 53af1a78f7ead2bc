package nodeagent

import (
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"hotpatch.dev/hotpatch/api"
)

// said is what was written on pods that the cache may not show yet. Without it a
// pass that follows at once would count tries from what was true before.
type said struct {
	mutex sync.Mutex
	of    map[string]*saying // by namespace/name
}

type saying struct {
	uid types.UID
	// replaced are the annotations that the last one came after.
	replaced []string
	last     string
}

// note says that an annotation was written in the place of the pod's.
func (s *said) note(pod *corev1.Pod, text string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.of == nil {
		s.of = map[string]*saying{}
	}
	key := pod.Namespace + "/" + pod.Name
	if s.of[key] == nil || s.of[key].uid != pod.UID {
		s.of[key] = &saying{uid: pod.UID}
	}
	s.of[key].replaced = append(s.of[key].replaced, pod.Annotations[api.ObservedAnnotation])
	s.of[key].last = text
}

// correct puts right a pod that comes from the cache. A text that is neither ours
// nor one that ours replaced is somebody else's, and newer.
func (s *said) correct(pod *corev1.Pod) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	key := pod.Namespace + "/" + pod.Name
	of := s.of[key]
	if of == nil {
		return
	}
	if of.uid == pod.UID && slices.Contains(of.replaced, pod.Annotations[api.ObservedAnnotation]) {
		metav1.SetMetaDataAnnotation(&pod.ObjectMeta, api.ObservedAnnotation, of.last)
		return
	}
	delete(s.of, key)
}

// forget is for a pod that is gone.
func (s *said) forget(key string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	delete(s.of, key)
}
