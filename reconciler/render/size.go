package render

//lint:file-ignore SA1019 what is deprecated is still in people's kustomizations

import (
	"bytes"
	"fmt"
	"strings"

	"hotpatch.dev/hotpatch/api"
)

// size is what a part of a build costs.
type size struct {
	objects int // that come out of it
	changes int // that may be made to each object
	work    int // see spent
}

// dear is how many patches an image costs, a label, or another change that looks at
// every field of each object.
const dear = 10

// spent adds what kustomize does in one kustomization: it makes every change to each
// object, and compares each object with each, of which four cost as much as a patch.
// A thousand objects take some two seconds, and maxWork some ten.
func (s size) spent() size {
	s.work += s.objects * (s.changes + s.objects/4)
	return s
}

// check refuses what would be built for minutes, or hours.
func (s size) check(k *kustomization) error {
	switch {
	case s.objects > maxObjects:
		return &api.Error{File: k.file, Reason: fmt.Sprintf("with all that it names it has %d objects; a build may have %d, so have several kustomizations build them", s.objects, maxObjects)}
	case s.work > maxWork:
		return &api.Error{File: k.file, Reason: fmt.Sprintf("its %d objects, with all patches, images and the like for them and for what it names, would take too long to build; have several kustomizations build them", s.objects)}
	}
	return nil
}

// list is the field without the index.
func (r reference) list() string {
	name, _, _ := strings.Cut(r.field, "[")
	return name
}

// ofObjects tells whether what is named are objects of the build.
func (r reference) ofObjects() bool { return r.list() == "resources" || r.list() == "bases" }

// ofPlugins tells whether it is what makes or changes objects.
func (r reference) ofPlugins() bool {
	return r.list() == "generators" || r.list() == "transformers" || r.list() == "validators"
}

// size is what a kustomization costs by itself. Each entry may be about every object.
func (k *kustomization) size() size {
	return size{
		objects: len(k.ConfigMapGenerator) + len(k.SecretGenerator),
		changes: dear*(len(k.Images)+len(k.ImageTags)+len(k.Replicas)+len(k.Labels)+len(k.Replacements)+len(k.Vars)+len(k.Transformers)+len(k.Validators)) +
			len(k.Patches) + len(k.PatchesJson6902) + len(k.PatchesStrategicMerge) +
			bytes.Count(k.content, []byte("---")), // patches that stand in it may be several each
	}
}

// with is a kustomization with something that a field of it names.
func (s size) with(field string, part size) size {
	switch field {
	case "resources", "bases", "generators":
		s.objects += part.objects
	case "components":
		s.objects += part.objects
		s.changes += part.changes // they are of who uses it
	case "crds", "configurations", "configMapGenerator", "secretGenerator":
	case "transformers", "validators", "replacements":
		s.changes += dear * part.objects
	default:
		s.changes += part.objects - 1 // one was counted for its entry
	}
	s.work += part.work
	return s
}
