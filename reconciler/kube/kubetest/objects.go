package kubetest

import (
	"errors"
	"io"
	"net/http"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
)

// Running is a pod with one container, main, that is Ready.
func Running(name, app string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name), Labels: map[string]string{"app": app}},
		Spec:       corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "main", Image: app + ":v0"}}},
		Status: corev1.PodStatus{
			Phase:      corev1.PodRunning,
			PodIP:      "127.0.0.2",
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			ContainerStatuses: []corev1.ContainerStatus{{
				Name: "main", Image: app + ":v0", ImageID: app + "@sha256:0", ContainerID: "containerd://" + name,
				State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
			}},
		},
	}
}

func (s *Server) deployment(r *http.Request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := r.PathValue("name")
	app := map[string]string{"app": name}
	if len(s.selected(labels.SelectorFromSet(app))) == 0 {
		return nil, apierrors.NewNotFound(schema.GroupResource{Group: "apps", Resource: "deployments"}, name)
	}
	return appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: name, UID: types.UID("uid-of-deployment-" + name)},
		Spec:       appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: app}},
	}, nil
}

var leases = schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}

func (s *Server) lease(r *http.Request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lease := s.leases[r.PathValue("namespace")+"/"+r.PathValue("name")]
	if lease == nil {
		return nil, apierrors.NewNotFound(leases, r.PathValue("name"))
	}
	return lease, nil
}

// writeLease makes a Lease, or replaces one in the version that it names.
func (s *Server) writeLease(r *http.Request) (any, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	object, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, nil)
	if err != nil {
		return nil, err
	}
	lease, ok := object.(*coordinationv1.Lease)
	if !ok {
		return nil, errors.New("this is no Lease")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	lease.Namespace = r.PathValue("namespace")
	key := lease.Namespace + "/" + lease.Name
	before := s.leases[key]
	switch {
	case r.Method == http.MethodPost && before != nil:
		return nil, apierrors.NewAlreadyExists(leases, lease.Name)
	case r.Method == http.MethodPut && (before == nil || before.ResourceVersion != lease.ResourceVersion):
		return nil, apierrors.NewConflict(leases, lease.Name, errors.New("it has another version now"))
	}
	s.version++
	lease.TypeMeta = metav1.TypeMeta{APIVersion: "coordination.k8s.io/v1", Kind: "Lease"}
	lease.ResourceVersion = strconv.Itoa(s.version)
	s.leases[key] = lease
	return lease, nil
}
