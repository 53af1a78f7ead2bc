package runtime_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hotpatch.dev/hotpatch/nodeagent/runtime/runtimetest"
)

const user, password = "puller", "s3cret"

// push serves a registry with an image, and is the image by digest.
func push(t *testing.T) (ref, host string) {
	t.Helper()
	return pushTo(t, registry.New(registry.Logger(log.New(io.Discard, "", 0))))
}

// pushPrivate is a registry that asks who is there.
func pushPrivate(t *testing.T) (ref string) {
	t.Helper()
	open := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	ref, _ = pushTo(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name, word, _ := r.BasicAuth(); name != user || word != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		open.ServeHTTP(w, r)
	}))
	return ref
}

func pushTo(t *testing.T, handler http.Handler) (ref, host string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	host = strings.TrimPrefix(server.URL, "http://")
	image, err := random.Image(1000, 3)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.ParseReference(host + "/test/pulled:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, image, remote.WithAuth(&authn.Basic{Username: user, Password: password})); err != nil {
		t.Fatal(err)
	}
	return host + "/test/pulled@" + digest.String(), host
}

func TestAPrivateImageNeedsItsCredentials(t *testing.T) {
	ref := pushPrivate(t)
	for _, auth := range []*cri.AuthConfig{nil, {Username: user, Password: "wrong"}} {
		if _, err := rt.Pull(t.Context(), ref, auth); err == nil || !strings.Contains(err.Error(), ref) || strings.Contains(err.Error(), "wrong") {
			t.Errorf("with %v: %v", auth, err)
		}
	}
	if image, err := rt.Pull(t.Context(), ref, &cri.AuthConfig{Username: user, Password: password}); err != nil || image.Ref != ref {
		t.Errorf("pulled %+v, %v", image, err)
	}
}

func TestPullGoesThroughTheNode(t *testing.T) {
	ref, _ := push(t)
	if _, err := rt.Present(t.Context(), ref); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), ref) {
		t.Errorf("before the pull: %v", err)
	}
	for range 2 { // the second finds it there
		image, err := rt.Pull(t.Context(), ref, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, node.Log())
		}
		if !reflect.DeepEqual(image, present(t, ref)) || image.Ref != ref || !exists(t, image.Chain) {
			t.Errorf("pulled %+v, present is %+v", image, present(t, ref))
		}
	}
	root := prepare(t, node.Run(t, runtimetest.Spec{Image: game}), present(t, ref))
	if layers := strings.Split(root.Filesystem.Option("lowerdir"), ":"); root.Image != ref || len(layers) != 3 {
		t.Errorf("its root is %+v", root)
	}
}

func TestAFailedPullNamesTheImage(t *testing.T) {
	_, host := push(t)
	none := "@sha256:" + strings.Repeat("0", 64)
	for _, ref := range []string{host + "/test/pulled" + none, "127.0.0.1:1/test/nobody" + none, host + "/test/pulled:v1", "no name"} {
		if _, err := rt.Pull(t.Context(), ref, nil); err == nil || !strings.Contains(err.Error(), ref) {
			t.Errorf("%s: got %v", ref, err)
		}
	}
}

// What is remembered of an image is not taken for the image.
func TestARemovedImageIsNotPresent(t *testing.T) {
	ref, _ := push(t)
	if _, err := rt.Pull(t.Context(), ref, nil); err != nil {
		t.Fatal(err)
	}
	present(t, ref)
	service := node.Client.ImageService()
	all, err := service.List(runtimetest.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, image := range all { // under all its names
		if !strings.HasSuffix(ref, image.Target.Digest.String()) {
			continue
		}
		if err := service.Delete(runtimetest.Context(), image.Name, images.SynchronousDelete()); err != nil {
			t.Fatal(err)
		}
	}
	collect(t)
	if image, err := rt.Present(t.Context(), ref); !errdefs.IsNotFound(err) {
		t.Errorf("present is %+v, %v", image, err)
	}
}
