package kubetest

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/watch"
)

// change is one version of one pod.
type change struct {
	version int
	kind    watch.EventType
	pod     *corev1.Pod
}

// Pods are the pods as they are, by name.
func (s *Server) Pods() []*corev1.Pod {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.selected(labels.Everything())
}

// Update changes a pod, as its node does.
func (s *Server) Update(name string, change func(*corev1.Pod)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pod := s.pods[name].DeepCopy()
	change(pod)
	s.put(pod)
}

// put makes a pod the newest version of itself.
func (s *Server) put(pod *corev1.Pod) {
	kind := watch.Modified
	if s.pods[pod.Name] == nil {
		kind = watch.Added
	}
	s.version++
	pod.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
	pod.Namespace, pod.ResourceVersion = Namespace, strconv.Itoa(s.version)
	s.pods[pod.Name] = pod
	s.history = append(s.history, change{s.version, kind, pod})
	close(s.news)
	s.news = make(chan struct{})
}

func (s *Server) selected(selector labels.Selector) (pods []*corev1.Pod) {
	for _, name := range slices.Sorted(maps.Keys(s.pods)) {
		if selector.Matches(labels.Set(s.pods[name].Labels)) {
			pods = append(pods, s.pods[name])
		}
	}
	return pods
}

func (s *Server) pod(r *http.Request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pod := s.pods[r.PathValue("name")]
	if pod == nil {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, r.PathValue("name"))
	}
	return pod, nil
}

func (s *Server) list(r *http.Request) (any, error) {
	selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadataList") {
		list := metav1.PartialObjectMetadataList{TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadataList"}}
		for _, pod := range s.selected(selector) {
			list.Items = append(list.Items, metav1.PartialObjectMetadata{TypeMeta: pod.TypeMeta, ObjectMeta: pod.ObjectMeta})
		}
		return list, nil
	}
	list := corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}, ListMeta: metav1.ListMeta{ResourceVersion: strconv.Itoa(s.version)}}
	for _, pod := range s.selected(selector) {
		list.Items = append(list.Items, *pod)
	}
	return list, nil
}

// watch tells of all changes after a version; of a client that wants them, of all
// pods first, with a bookmark at their end.
func (s *Server) watch(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	selector, err := labels.Parse(query.Get("labelSelector"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	tell := func(kind watch.EventType, pod *corev1.Pod) {
		if kind == watch.Bookmark || selector.Matches(labels.Set(pod.Labels)) {
			_ = json.NewEncoder(w).Encode(map[string]any{"type": kind, "object": pod}) // whoever is gone ends r's context
		}
	}
	from, _ := strconv.Atoi(query.Get("resourceVersion"))
	if initial, _ := strconv.ParseBool(query.Get("sendInitialEvents")); initial {
		s.mu.Lock()
		pods := s.selected(selector)
		from = s.version
		s.mu.Unlock()
		for _, pod := range pods {
			tell(watch.Added, pod)
		}
		tell(watch.Bookmark, bookmark(from))
	}
	for r.Context().Err() == nil {
		s.mu.Lock()
		var changes []change
		if i := slices.IndexFunc(s.history, func(c change) bool { return c.version > from }); i >= 0 {
			changes = s.history[i:]
		}
		news := s.news
		s.mu.Unlock()
		for _, c := range changes {
			tell(c.kind, c.pod)
			from = c.version
		}
		w.(http.Flusher).Flush()
		select {
		case <-news:
		case <-r.Context().Done():
		}
	}
}

func bookmark(version int) *corev1.Pod {
	pod := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}}
	pod.ResourceVersion = strconv.Itoa(version)
	pod.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
	return pod
}

// patch annotates a pod, or only says that it would.
func (s *Server) patch(r *http.Request) (any, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var asked struct {
		Metadata struct {
			UID             types.UID
			ResourceVersion string
			Annotations     map[string]*string
		}
	}
	if err := json.Unmarshal(body, &asked); err != nil {
		return nil, err
	}
	dry := r.URL.Query().Has("dryRun")
	if kind := r.Header.Get("Content-Type"); !dry && kind != string(types.MergePatchType) {
		return nil, fmt.Errorf("a patch of type %s is not known here", kind)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := r.PathValue("name")
	before := s.pods[name]
	switch {
	case before == nil:
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, name)
	case asked.Metadata.UID != "" && asked.Metadata.UID != before.UID:
		wrong := field.Invalid(field.NewPath("metadata", "uid"), asked.Metadata.UID, "field is immutable")
		return nil, apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, name, field.ErrorList{wrong})
	case asked.Metadata.ResourceVersion != "" && asked.Metadata.ResourceVersion != before.ResourceVersion:
		return nil, apierrors.NewConflict(schema.GroupResource{Resource: "pods"}, name, fmt.Errorf("it has version %s now", before.ResourceVersion))
	case dry:
		return before, nil
	}
	after := before.DeepCopy()
	if after.Annotations == nil {
		after.Annotations = map[string]string{}
	}
	for key, text := range asked.Metadata.Annotations {
		delete(after.Annotations, key)
		if text != nil {
			after.Annotations[key] = *text
		}
	}
	s.put(after)
	if s.Written != nil {
		s.Written(before, after)
	}
	return after, nil
}
