package kube

import (
	"errors"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestOnlyImagesAreJudged(t *testing.T) {
	pod := Pod{Ref: Ref{"default", "game-0", "u1", "7"}, Containers: []string{"main", "log", "proxy"}, NativeSidecars: []string{"proxy"}}
	got, err := imagePatch(pod, map[string]string{"main": "game@sha256:2", "log": "", "proxy": "proxy@sha256:3", "gone": "x"})
	want := `{"metadata":{"uid":"u1"},"spec":{"containers":[{"name":"main","image":"game@sha256:2"}],"initContainers":[{"name":"proxy","image":"proxy@sha256:3"}]}}`
	if err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
}

func status(code int32, message string) metav1.Status {
	return metav1.Status{Status: metav1.StatusFailure, Code: code, Message: message}
}

func TestRefusalsAreToldFromFailures(t *testing.T) {
	pods := schema.GroupResource{Resource: "pods"}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"policy":      {apierrors.NewForbidden(pods, "game-0", errors.New("ValidatingAdmissionPolicy 'signed' denied request: not signed")), "the cluster does not admit the new image: pods \"game-0\" is forbidden: ValidatingAdmissionPolicy 'signed' denied request: not signed"},
		"webhook":     {&apierrors.StatusError{ErrStatus: status(400, "admission webhook \"signed.example.org\" denied the request: no")}, "the cluster does not admit the new image: admission webhook"},
		"webhook out": {apierrors.NewInternalError(errors.New("failed calling webhook")), "cannot be asked about the new image, on pod game-0: Internal error"},
		"busy":        {apierrors.NewTooManyRequests("later", 1), "cannot be asked"},
		"network":     {errors.New("connection refused"), "cannot be asked"},
		"admitted":    {nil, ""},
	} {
		err := verdict(c.err, "game-0")
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if err := verdict(apierrors.NewNotFound(pods, "game-0"), "game-0"); !errors.Is(err, ErrChanged) {
		t.Errorf("a pod that is gone: %v", err)
	}
}
