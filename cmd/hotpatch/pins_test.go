package main

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/plan"
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

// What a container would run on without is a warning, or a refusal where it says so.
func TestImageConfigIsRefusedWhereItSaysSo(t *testing.T) {
	server := httptest.NewServer(registry.New())
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	images := map[string]string{}
	for _, value := range []string{"old", "new"} {
		image, err := mutate.Config(empty.Image, v1.Config{Env: []string{"MODE=" + value}})
		if err != nil {
			t.Fatal(err)
		}
		digest, err := image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		images[value] = address + "/game@" + digest.String()
		if err := crane.Push(image, images[value]); err != nil {
			t.Fatal(err)
		}
	}
	pods := []plan.Pod{{OwnImages: map[string]string{"main": images["old"], "aside": images["old"], "same": images["new"]}}}
	var containers []api.DesiredContainer
	for name, policy := range map[string]api.ImageConfigPolicy{"main": api.ImageConfigRefuse, "aside": api.ImageConfigWarn, "same": api.ImageConfigRefuse} {
		containers = append(containers, api.DesiredContainer{Name: name, Image: images["new"], ImageConfig: policy})
	}
	warnings, refusals := (&pins{}).ignored(t.Context(), containers, pods)
	if len(warnings) != 1 || !strings.HasPrefix(warnings[0], "container aside runs on without") {
		t.Errorf("warnings are %q", warnings)
	}
	if len(refusals) != 1 || !strings.Contains(refusals["main"], "imageConfig is Refuse") {
		t.Errorf("refusals are %q", refusals)
	}
	h := api.HotPatch{Metadata: api.Metadata{Name: "game", Namespace: "default"}, Spec: api.Spec{Containers: []api.Container{{Name: "aside"}, {Name: "main"}}}}
	w := wished{Item: render.Item{HotPatch: h, File: "g.yaml"}}
	if told := w.imageConfigs(refusals); len(told) != 1 || told[0].Field != "spec.containers[1].imageConfig" || told[0].File != "g.yaml" {
		t.Errorf("told is %+v", told)
	}
	server.Close()
	if warnings, refusals := (&pins{}).ignored(t.Context(), containers[:1], []plan.Pod{{OwnImages: map[string]string{containers[0].Name: images["old"]}}}); len(refusals) > 0 || len(warnings) != 1 || !strings.Contains(warnings[0], "is not known") {
		t.Errorf("a registry that is away: %q, %q", warnings, refusals)
	}
}
