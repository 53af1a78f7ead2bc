package render

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"hotpatch.dev/hotpatch/api"
)

// building lets one build run at a time: kustomize has state of the process.
var building sync.Mutex

// originAnnotation is where kustomize notes the file an object came from.
const originAnnotation = "config.kubernetes.io/origin"

// object is a HotPatch or a Suspension as kustomize built it.
type object struct {
	kind, key, name, file string
	yaml                  []byte
}

// kinds are what is looked for; other objects are not ours.
var kinds = []string{api.KindHotPatch, api.KindSuspension}

// build builds a root and returns what of it is ours.
func (r *rendering) build(root string) ([]object, error) {
	disk := filesys.MakeFsInMemory()
	dir := root
	if r.repo.kustomization(root) == "" {
		dir = path.Dir(root)
		if err := r.plain(disk, root); err != nil {
			return nil, err
		}
	} else if err := r.load(disk, root); err != nil {
		return nil, err
	}
	built, err := kustomize(disk, path.Join("/", dir))
	if err != nil {
		return nil, &api.Error{File: root, Reason: strings.ReplaceAll(err.Error(), "'/", "'")}
	}
	var objects []object
	for _, res := range built.Resources() {
		if gvk := res.GetGvk(); gvk.Group != api.Group || !slices.Contains(kinds, gvk.Kind) {
			continue
		}
		o, err := toObject(dir, res)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", root, err)
		}
		objects = append(objects, o)
	}
	return objects, nil
}

// plain puts a single file on the disk, with a kustomization that names it.
func (r *rendering) plain(disk filesys.FileSystem, file string) error {
	content, err := r.repo.yaml(file)
	if err != nil {
		return err
	}
	if err := disk.WriteFile("/"+file, content); err != nil {
		return err
	}
	made := fmt.Sprintf("resources: [%q]\nbuildMetadata: [originAnnotations]\n", path.Base(file))
	return disk.WriteFile("/"+path.Join(path.Dir(file), "kustomization.yaml"), []byte(made))
}

// load puts a kustomization and all that it names on the disk, after checking
// each.
func (r *rendering) load(disk filesys.FileSystem, root string) error {
	l := &loader{repo: r.repo, disk: disk, seen: map[string]bool{}}
	if err := l.dir(root); err != nil {
		return err
	}
	k, err := r.repo.read(root)
	if err != nil {
		return err
	}
	metadata := append(list(k.fields["buildMetadata"]), "originAnnotations")
	k.fields["buildMetadata"] = metadata
	content, err := yaml.Marshal(k.fields)
	if err != nil {
		return err
	}
	return disk.WriteFile("/"+k.file, content)
}

// loader copies what a build needs.
type loader struct {
	repo  *repository
	disk  filesys.FileSystem
	seen  map[string]bool
	bytes int64
}

func (l *loader) dir(dir string) error {
	if l.seen[dir] {
		return nil
	}
	l.seen[dir] = true
	k, err := l.repo.read(dir)
	if err != nil {
		return err
	}
	if err := k.check(l.repo, dir); err != nil {
		return err
	}
	if err := l.file(k.file); err != nil {
		return err
	}
	for _, ref := range k.references() {
		target := path.Join(dir, ref.to)
		load := l.file
		if l.repo.dirs[target] != nil {
			load = l.dir
			if l.repo.kustomization(target) == "" {
				return &api.Error{File: k.file, Field: ref.field, Reason: "there is no kustomization in " + ref.to}
			}
		}
		if err := load(target); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) file(name string) error {
	if l.seen[name] {
		return nil
	}
	l.seen[name] = true
	content, err := l.repo.yaml(name)
	if err != nil {
		return err
	}
	l.bytes += int64(len(content))
	if l.bytes > maxBuild || len(l.seen) > maxBuildLen {
		return &api.Error{File: name, Reason: fmt.Sprintf("the build has more than %d bytes or %d files", maxBuild, maxBuildLen)}
	}
	return l.disk.WriteFile("/"+name, content)
}

// kustomize builds, and turns a panic into an error.
func kustomize(disk filesys.FileSystem, dir string) (built resmap.ResMap, err error) {
	building.Lock()
	defer building.Unlock()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("kustomize gave up: %v", p)
		}
	}()
	return krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(disk, dir)
}

// toObject takes kustomize's own notes off again.
func toObject(dir string, res *resource.Resource) (object, error) {
	annotations := res.GetAnnotations()
	var origin struct{ Path string }
	if err := yaml.Unmarshal([]byte(annotations[originAnnotation]), &origin); err != nil {
		return object{}, err
	}
	delete(annotations, originAnnotation)
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
	return object{kind: res.GetKind(), key: namespace + "/" + res.GetName(), name: res.GetName(), file: path.Join(dir, origin.Path), yaml: content}, nil
}
