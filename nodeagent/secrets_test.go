package nodeagent

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"hotpatch.dev/hotpatch/api"
)

func pullSecret(name, registry, password string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Type: corev1.SecretTypeDockerConfigJson,
		Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(`{"auths":{"` + registry + `":{"username":"game","password":"` + password + `"}}}`)}}
}

// Those of the image's registry, whichever of the pod's secrets has them.
func TestPullsUseThePodsOwnSecrets(t *testing.T) {
	pod := newPod("game-1", nil)
	pod.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "other"}, {Name: "ours"}, {Name: "missing"}}
	kube := fake.NewClientset(pod, pullSecret("other", "other.example", "s3cret-other"), pullSecret("ours", "r.example:5000", "s3cret-ours"))
	p := &fakePuller{}
	a := newFakeAgent(t, kube, p)
	for image, want := range map[string]string{"r.example:5000/game@sha256:" + strings.Repeat("1", 64): "s3cret-ours", "public.example/game@sha256:" + strings.Repeat("2", 64): ""} {
		if _, err := a.images.ready(t.Context(), pod, image); err != nil {
			t.Errorf("%s: %v", image, err)
		}
		if got := p.auth.GetPassword(); got != want {
			t.Errorf("%s was pulled with %q, want %q", image, got, want)
		}
	}
	p.fail = errors.New("denied")
	got := a.images.prepare(t.Context(), pod, api.Prepare{Containers: []api.DesiredContainer{{Name: "main", Image: "r.example:5000/new@sha256:" + strings.Repeat("3", 64)}}})[0]
	if got.State != api.StateFailed || !strings.Contains(got.Message, "denied") || !strings.Contains(got.Message, "imagePullSecret missing of namespace default") || strings.Contains(got.Message, "s3cret") {
		t.Errorf("got %+v", got)
	}
}

func TestASecretThatCannotBeReadTellsNothing(t *testing.T) {
	pod := newPod("game-1", nil)
	pod.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "broken"}}
	broken := pullSecret("broken", "r.example", "x")
	broken.Data[corev1.DockerConfigJsonKey] = []byte(`{"auths": s3cret`)
	a := newFakeAgent(t, fake.NewClientset(pod, broken), &fakePuller{})
	auth, err := a.credentials(t.Context(), pod, "r.example/game@sha256:"+strings.Repeat("1", 64))
	if auth != nil || err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v, %v", auth, err)
	}
}
