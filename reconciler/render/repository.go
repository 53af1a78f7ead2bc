package render

import (
	"path"
	"slices"
	"strings"
)

// Limits of what is read of a repository.
const (
	MaxContent  = 64 << 20 // bytes of one file for sidecars
	maxYAML     = 2 << 20  // bytes of one file for kustomize
	maxBuild    = 32 << 20 // bytes of all files of one build
	maxBuildLen = 5_000    // files of one build
)

// kustomizationNames are what kustomize looks for.
var kustomizationNames = []string{"kustomization.yaml", "kustomization.yml", "Kustomization"}

// repository is the list of files of one commit.
type repository struct {
	files map[string]File
	dirs  map[string][]string // names of the entries, sorted
	src   Source
}

func index(src Source) (*repository, error) {
	all, err := src.Files(".")
	if err != nil {
		return nil, err
	}
	r := &repository{files: map[string]File{}, dirs: map[string][]string{}, src: src}
	for _, f := range all {
		r.files[f.Path] = f
		for name := f.Path; name != "."; name = path.Dir(name) {
			dir := path.Dir(name)
			if slices.Contains(r.dirs[dir], path.Base(name)) {
				break
			}
			r.dirs[dir] = append(r.dirs[dir], path.Base(name))
		}
	}
	for _, names := range r.dirs {
		slices.Sort(names)
	}
	return r, nil
}

// kustomization is the kustomization file of a directory, "" if it has none.
func (r *repository) kustomization(dir string) string {
	for _, name := range kustomizationNames {
		if _, ok := r.files[path.Join(dir, name)]; ok {
			return path.Join(dir, name)
		}
	}
	return ""
}

// roots are what is built on its own below a directory: kustomizations that no
// other one uses, and plain YAML files where there is no kustomization.
func (r *repository) roots(dir string) []string {
	if r.kustomization(dir) != "" {
		return []string{dir}
	}
	var found []string
	r.search(dir, &found)
	used := map[string]bool{}
	for _, root := range found {
		for _, name := range r.uses(root) {
			used[name] = true
		}
	}
	return slices.DeleteFunc(found, func(root string) bool { return used[root] })
}

func (r *repository) search(dir string, found *[]string) {
	if r.kustomization(dir) != "" {
		*found = append(*found, dir)
	}
	for _, name := range r.dirs[dir] {
		full := path.Join(dir, name)
		switch {
		case r.dirs[full] != nil:
			r.search(full, found)
		case r.kustomization(dir) == "" && isYAML(name) && r.files[full].Kind == Regular:
			*found = append(*found, full)
		}
	}
}

// uses are the directories that the kustomization of a directory names.
func (r *repository) uses(dir string) []string {
	k, err := r.read(dir)
	if err != nil {
		return nil // building it will say why
	}
	var out []string
	for _, ref := range k.references() {
		if target := path.Join(dir, ref.to); r.dirs[target] != nil {
			out = append(out, target)
		}
	}
	return out
}

func isYAML(name string) bool {
	return strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")
}
