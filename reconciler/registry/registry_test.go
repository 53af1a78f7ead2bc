package registry

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// serve runs a registry, behind wrap, and returns its "host:port".
func serve(t *testing.T, wrap func(http.Handler) http.Handler) string {
	t.Helper()
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(wrap(handler))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func direct(h http.Handler) http.Handler { return h }

// push puts a new random image under a name and returns its digest.
func push(t *testing.T, image string) string {
	t.Helper()
	ref, err := name.ParseReference(image)
	if err != nil {
		t.Fatal(err)
	}
	img, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

func TestConfigIsTheImages(t *testing.T) {
	host := serve(t, direct)
	ref, err := name.ParseReference(host + "/game:v2")
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.Config(empty.Image, v1.Config{Env: []string{"MODE=new"}, User: "1000"})
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	for _, image := range []string{host + "/game:v2", host + "/game@" + digest.String()} {
		if got, err := (&Resolver{}).Config(t.Context(), image); err != nil || got.User != "1000" || len(got.Env) != 1 {
			t.Errorf("%s: %+v, %v", image, got, err)
		}
	}
	if _, err := (&Resolver{}).Config(t.Context(), host+"/other:v1"); err == nil || !strings.Contains(err.Error(), "other:v1 does not exist") {
		t.Errorf("got %v", err)
	}
}

func TestTagBecomesDigest(t *testing.T) {
	host := serve(t, direct)
	want := host + "/game@" + push(t, host+"/game:v2")

	got, err := (&Resolver{}).Digest(context.Background(), host+"/game:v2")
	if err != nil || got != want {
		t.Fatalf("got %s, %v, want %s", got, err, want)
	}
}

func TestDigestIsFoundWithoutHEAD(t *testing.T) {
	var pushed atomic.Bool
	host := serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if pushed.Load() && r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/manifests/") {
				http.Error(w, "no", http.StatusMethodNotAllowed)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	want := host + "/game@" + push(t, host+"/game:v2")
	pushed.Store(true)

	got, err := (&Resolver{}).Digest(context.Background(), host+"/game:v2")
	if err != nil || got != want {
		t.Fatalf("got %s, %v, want %s", got, err, want)
	}
}

func TestDigestIsNeverLookedUp(t *testing.T) {
	digest := "sha256:" + strings.Repeat("a", 64)
	for given, want := range map[string]string{
		"nobody.invalid/game@" + digest:    "nobody.invalid/game@" + digest,
		"nobody.invalid/game:v2@" + digest: "nobody.invalid/game@" + digest,
		"nginx@" + digest:                  "docker.io/library/nginx@" + digest,
	} {
		got, err := (&Resolver{}).Digest(context.Background(), given)
		if err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", given, got, err, want)
		}
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	host := serve(t, direct)
	push(t, host+"/game:v2")
	locked := serve(t, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	})
	for image, want := range map[string]string{
		host + "/game:v9":     "image " + host + "/game:v9 does not exist in registry " + host + "; push it, or correct the name",
		locked + "/game:v2":   "registry " + locked + " denies access (403); give the reconciler credentials for it",
		"127.0.0.1:1/game:v2": "registry 127.0.0.1:1 cannot be reached",
		"Not An Image":        `image "Not An Image" is not a valid reference`,
	} {
		_, err := (&Resolver{}).Digest(context.Background(), image)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q in it", image, err, want)
		}
	}
}

func TestInsecureRegistryIsSpokenToInPlainHTTP(t *testing.T) {
	r := &Resolver{Insecure: []string{"registry.example:5000"}}
	for image, want := range map[string]string{
		"registry.example:5000/game:v2": "http",
		"registry.example/game:v2":      "https",
	} {
		ref, err := r.parse(image)
		if err != nil || ref.Context().Scheme() != want {
			t.Errorf("%s: scheme %s, %v, want %s", image, ref.Context().Scheme(), err, want)
		}
	}
}
