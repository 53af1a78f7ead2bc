package runtime_test

import (
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"hotpatch.dev/hotpatch/nodeagent/runtime/runtimetest"
)

// push serves a registry with an image, and is the image by digest.
func push(t *testing.T) (ref, host string) {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
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
	if err := remote.Write(tag, image); err != nil {
		t.Fatal(err)
	}
	return host + "/test/pulled@" + digest.String(), host
}

func TestPullGoesThroughTheNode(t *testing.T) {
	ref, _ := push(t)
	if _, err := rt.Present(t.Context(), ref); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), ref) {
		t.Errorf("before the pull: %v", err)
	}
	for range 2 { // the second finds it there
		image, err := rt.Pull(t.Context(), ref)
		if err != nil {
			t.Fatalf("%v\n%s", err, node.Log())
		}
		if image != present(t, ref) || image.Ref != ref || !exists(t, image.Chain) {
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
		if _, err := rt.Pull(t.Context(), ref); err == nil || !strings.Contains(err.Error(), ref) {
			t.Errorf("%s: got %v", ref, err)
		}
	}
}

// What is remembered of an image is not taken for the image.
func TestARemovedImageIsNotPresent(t *testing.T) {
	ref, _ := push(t)
	if _, err := rt.Pull(t.Context(), ref); err != nil {
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
