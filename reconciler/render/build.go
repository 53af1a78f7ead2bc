package render

import (
	"cmp"
	"slices"

	"sigs.k8s.io/kustomize/api/resource"

	"hotpatch.dev/hotpatch/api"
)

// object is a HotPatch or a Suspension as kustomize built it.
type object struct {
	kind, key, name, file string
	yaml                  []byte
}

// kinds are what is looked for; other objects are not ours.
var kinds = []string{api.KindHotPatch, api.KindSuspension}

// objects are what a build that has ended made of ours.
func (b *running) objects(root string) ([]object, error) {
	built, err := b.result(root)
	if err != nil {
		return nil, err
	}
	var objects []object
	for _, res := range built.Resources() {
		if gvk := res.GetGvk(); gvk.Group != api.Group || !slices.Contains(kinds, gvk.Kind) {
			continue
		}
		o, err := toObject(root, res)
		if err != nil {
			return nil, &api.Error{File: root, Reason: err.Error()}
		}
		objects = append(objects, o)
	}
	return objects, nil
}

// toObject takes the note of its file off again. A patch may have, too: then it
// stands in the root.
func toObject(root string, res *resource.Resource) (object, error) {
	annotations := res.GetAnnotations()
	file := cmp.Or(annotations[fileAnnotation], root)
	delete(annotations, fileAnnotation)
	if err := res.SetAnnotations(annotations); err != nil {
		return object{}, err
	}
	content, err := res.AsYAML()
	if err != nil {
		return object{}, err
	}
	namespace := res.GetNamespace()
	if namespace == "" {
		namespace = "default"
	}
	return object{kind: res.GetKind(), key: namespace + "/" + res.GetName(), name: res.GetName(), file: file, yaml: content}, nil
}
