package main

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/registry"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/render"
)

// An image is pinned under the name that nodes know it by, wherever it was
// looked up, and one that is recorded is not looked up again.
func TestPin(t *testing.T) {
	server := httptest.NewServer(registry.New())
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	image, err := crane.Image(map[string][]byte{"version": []byte("v2")})
	if err != nil {
		t.Fatal(err)
	}
	if err := crane.Push(image, address+"/game:v2"); err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	p := &pins{aliases: map[string]string{"registry.example:5000": address}}
	recorded := api.HotPatchStatus{
		Images:     map[string]string{"main": "registry.example:5000/gone:v1"},
		Containers: []api.DesiredContainer{{Name: "main", Image: "registry.example:5000/gone@sha256:1"}},
	}
	for _, c := range []struct{ image, want, err string }{
		{"registry.example:5000/game:v2", "registry.example:5000/game@" + digest.String(), ""},
		{"registry.example:5000/gone:v1", "registry.example:5000/gone@sha256:1", ""},
		{"registry.example:5000/game:v3", "", "g.yaml: HotPatch default/game: spec.containers[0].image: image " + address + "/game:v3 does not exist"},
	} {
		h := api.HotPatch{Metadata: api.Metadata{Name: "game", Namespace: "default"}, Spec: api.Spec{Containers: []api.Container{{Name: "main", Image: c.image}}}}
		pinned, err := p.pin(t.Context(), render.Item{HotPatch: h, File: "g.yaml"}, recorded)
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: got %v, want …%s…", c.image, err, c.err)
			}
		case err != nil:
			t.Error(err)
		case pinned[0].Image != c.want:
			t.Errorf("%s: got %s, want %s", c.image, pinned[0].Image, c.want)
		}
	}
}
