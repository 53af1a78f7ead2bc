package render

import (
	"path"

	"hotpatch.dev/hotpatch/api"
)

// Renderer renders commit after commit, and builds anew only those roots of which
// something has changed. Its zero value has seen none. It is for one goroutine at a
// time; what is in its results is not to be changed.
type Renderer struct {
	kept map[string]kept        // by root
	refs map[string][]reference // of kustomization files, by ID
}

// kept is what a root gave, and what it was made of, by path.
type kept struct {
	part
	marks map[string]string
}

// Render builds everything below a directory, as the function of that name does.
func (k *Renderer) Render(src Source, dir string) Result {
	r := &rendering{src: src, result: Result{Broken: map[string]error{}, BrokenSuspensions: map[string]error{}}, keys: map[string]string{}}
	repo, err := index(src, k.refs)
	if err != nil {
		r.failed(path.Clean(dir), err)
		return r.result
	}
	r.repo = repo
	roots := repo.roots(path.Clean(dir))
	if len(roots) == 0 {
		r.failed(path.Clean(dir), &api.Error{File: dir, Reason: "there is no kustomization and no YAML file in the repository at this path"})
	}
	now := map[string]kept{}
	for _, root := range roots {
		now[root] = k.of(r, root)
		r.add(root, now[root].part)
	}
	k.kept, k.refs = now, repo.refs
	r.checkDependencies()
	return r.result
}

// of is what a root gives: what it gave before, if it is made of the same.
func (k *Renderer) of(r *rendering, root string) kept {
	if before, ok := k.kept[root]; ok && r.repo.hasStill(before.marks) {
		return before
	}
	r.repo.marks = map[string]string{}
	r.repo.touch(root)
	p := r.part(root)
	return kept{p, r.repo.marks}
}
