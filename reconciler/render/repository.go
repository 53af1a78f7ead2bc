package render

import (
	"crypto/sha256"
	"fmt"
	"io"
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
	maxObjects  = 1_500    // objects of one build
	maxWork     = 1_500_000
)

// kustomizationNames are what kustomize looks for.
var kustomizationNames = []string{"kustomization.yaml", "kustomization.yml", "Kustomization"}

// repository is the list of files of one commit.
type repository struct {
	files map[string]File
	dirs  map[string][]string // names of the entries, sorted
	src   Source
	// before are what kustomizations of an earlier commit named, by ID, and refs of
	// this one: hundreds are read to find those that no other one uses.
	before, refs map[string][]reference
	// marks are what was looked at since they were made, with what was there.
	marks map[string]string
}

func index(src Source, before map[string][]reference) (*repository, error) {
	all, err := src.Files(".")
	if err != nil {
		return nil, err
	}
	r := &repository{files: make(map[string]File, len(all)), dirs: map[string][]string{}, src: src, before: before, refs: map[string][]reference{}}
	for _, f := range all {
		r.files[f.Path] = f
		for name := f.Path; name != "."; name = path.Dir(name) {
			dir := path.Dir(name)
			_, known := r.dirs[dir]
			r.dirs[dir] = append(r.dirs[dir], path.Base(name))
			if known {
				break
			}
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
	var out []string
	for _, ref := range r.references(dir) { // building it will say why there are none
		if target := path.Join(dir, ref.to); r.dirs[target] != nil {
			out = append(out, target)
		}
	}
	return out
}

// references are those of the kustomization of a directory, none if it cannot be
// read.
func (r *repository) references(dir string) []reference {
	id := r.files[r.kustomization(dir)].ID
	refs, ok := r.before[id]
	if !ok || id == "" {
		if k, err := r.read(dir); err == nil {
			refs = k.references()
		}
	}
	if id != "" {
		r.refs[id] = refs
	}
	return refs
}

// touch marks that a root depends on what is at a path.
func (r *repository) touch(name string) {
	if r.marks != nil {
		r.marks[name] = r.id(name)
	}
}

// hasStill tells whether all that was marked is as it was.
func (r *repository) hasStill(marks map[string]string) bool {
	for name, was := range marks {
		if was == "" || r.id(name) != was {
			return false
		}
	}
	return true
}

// id tells what is at a path, whole if it is a directory, from anything else; "" if
// that is not known.
func (r *repository) id(name string) string {
	sum := sha256.New()
	if !r.sum(sum, name) {
		return ""
	}
	return string(sum.Sum(nil))
}

func (r *repository) sum(into io.Writer, name string) bool {
	if f, ok := r.files[name]; ok {
		fmt.Fprintf(into, "%d %s\x00", f.Kind, f.ID)
		return f.ID != "" || f.Kind != Regular
	}
	for _, entry := range r.dirs[name] {
		fmt.Fprintf(into, "%s\x00", entry)
		if !r.sum(into, path.Join(name, entry)) {
			return false
		}
	}
	fmt.Fprintf(into, "%d\x00", len(r.dirs[name])) // 0: there is nothing
	return true
}

func isYAML(name string) bool {
	return strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")
}
