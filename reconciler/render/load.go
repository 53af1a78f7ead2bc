package render

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/provider"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"hotpatch.dev/hotpatch/api"
)

// fileAnnotation is where the loader notes the file an object stands in. kustomize
// could as well, but then notes every patch and image on every object, too, which
// makes a hundred patches of a hundred objects take a minute.
const fileAnnotation = "internal.hotpatch.dev/file"

// loader copies what a build needs, after checking each, and counts what the build
// will be about: kustomize compares each object with each.
type loader struct {
	ctx   context.Context
	repo  *repository
	disk  filesys.FileSystem
	files map[string]size
	dirs  map[string]size
	bytes int64
}

func newLoader(ctx context.Context, repo *repository) *loader {
	return &loader{ctx: ctx, repo: repo, disk: filesys.MakeFsInMemory(), files: map[string]size{}, dirs: map[string]size{}}
}

// root puts a kustomization and all that it names on the disk, or a single file with
// a kustomization that names it. It returns the directory to build.
func (l *loader) root(root string) (string, error) {
	if l.repo.kustomization(root) == "" {
		if _, err := l.file(root, true); err != nil {
			return "", err
		}
		made := fmt.Sprintf("resources: [%q]\n", path.Base(root))
		return path.Dir(root), l.disk.WriteFile("/"+path.Join(path.Dir(root), "kustomization.yaml"), []byte(made))
	}
	if _, err := l.dir(root); err != nil {
		return "", err
	}
	k, err := l.repo.read(root)
	if err != nil || k.BuildMetadata == nil {
		return root, err
	}
	k.BuildMetadata = nil // nobody would see it, and it takes a minute, see above
	content, err := yaml.Marshal(k.Kustomization)
	if err != nil {
		return "", fmt.Errorf("%s: %w", k.file, err)
	}
	return root, l.disk.WriteFile("/"+k.file, content)
}

func (l *loader) dir(dir string) (size, error) {
	if s, seen := l.dirs[dir]; seen {
		return s, nil
	}
	l.dirs[dir] = size{} // a kustomization that names itself is told by the build
	k, err := l.repo.read(dir)
	if err != nil {
		return size{}, err
	}
	if err := k.check(l.repo, dir); err != nil {
		return size{}, err
	}
	if _, err := l.file(k.file, false); err != nil {
		return size{}, err
	}
	s := k.size()
	for _, ref := range k.references() {
		part, err := l.reference(k, dir, ref)
		if err != nil {
			return size{}, err
		}
		s = s.with(ref.list(), part)
		if err := s.check(k); err != nil {
			return size{}, err
		}
	}
	s = s.spent()
	if err := s.check(k); err != nil {
		return size{}, err
	}
	l.dirs[dir] = s
	return s, l.inline(k)
}

// inline checks what stands in a kustomization itself instead of in a file.
func (l *loader) inline(k *kustomization) error {
	for _, plugin := range slices.Concat(k.Generators, k.Transformers, k.Validators) {
		if strings.Contains(plugin, "\n") {
			if err := checkPlugin(k.file, "", []byte(plugin)); err != nil {
				return err
			}
		}
	}
	return nil
}

// reference loads what a kustomization names.
func (l *loader) reference(k *kustomization, dir string, ref reference) (size, error) {
	target := path.Join(dir, ref.to)
	if l.repo.dirs[target] == nil {
		s, err := l.file(target, ref.ofObjects())
		if err == nil && ref.ofPlugins() {
			err = checkPlugin(target, "", l.content(target))
		}
		return s, err
	}
	if l.repo.kustomization(target) == "" {
		return size{}, &api.Error{File: k.file, Field: ref.field, Reason: "there is no kustomization in " + ref.to}
	}
	return l.dir(target)
}

func (l *loader) content(name string) []byte {
	content, _ := l.disk.ReadFile("/" + name) // it was written a moment ago
	return content
}

// file puts a file on the disk; one of objects with a note where each stands.
func (l *loader) file(name string, objects bool) (size, error) {
	if s, seen := l.files[name]; seen {
		return s, nil
	}
	if err := l.ctx.Err(); err != nil {
		return size{}, err
	}
	content, err := l.repo.yaml(name)
	if err != nil {
		return size{}, err
	}
	l.bytes += int64(len(content))
	if l.bytes > maxBuild || len(l.files) >= maxBuildLen {
		return size{}, &api.Error{File: name, Reason: fmt.Sprintf("the build has more than %d bytes or %d files", maxBuild, maxBuildLen)}
	}
	s := size{objects: 1 + bytes.Count(content, []byte("\n---"))}
	if objects {
		if content, s.objects, err = noted(name, content); err != nil {
			return size{}, err
		}
	}
	l.files[name] = s
	return s, l.disk.WriteFile("/"+name, content)
}

// noted are the objects of a file, each with a note that it stands there, and how
// many they are. They are read as kustomize reads them: a list is many.
func noted(name string, content []byte) ([]byte, int, error) {
	if n := 1 + bytes.Count(content, []byte("\n---")); n > 2*maxObjects { // some may be empty
		return nil, 0, tooMany(name, n)
	}
	objects, err := provider.NewDefaultDepProvider().GetResourceFactory().SliceFromBytes(content)
	if err != nil {
		return nil, 0, &api.Error{File: name, Reason: err.Error()}
	}
	if len(objects) > maxObjects {
		return nil, 0, tooMany(name, len(objects))
	}
	var out bytes.Buffer
	for _, o := range objects {
		annotations := o.GetAnnotations()
		annotations[fileAnnotation] = name
		if err := o.SetAnnotations(annotations); err != nil {
			return nil, 0, &api.Error{File: name, Object: o.GetKind() + " " + o.GetName(), Field: "metadata.annotations", Reason: err.Error()}
		}
		text, err := o.RNode.String()
		if err != nil {
			return nil, 0, &api.Error{File: name, Object: o.GetKind() + " " + o.GetName(), Reason: err.Error()}
		}
		out.WriteString("---\n" + text)
	}
	return out.Bytes(), len(objects), nil
}

func tooMany(name string, n int) error {
	return &api.Error{File: name, Reason: fmt.Sprintf("has %d objects; a build may have %d, so have several kustomizations build them", n, maxObjects)}
}
