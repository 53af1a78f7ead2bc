package render

import (
	"context"
	"path"

	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"hotpatch.dev/hotpatch/api"
)

// Renderer renders commit after commit, and builds anew only those roots of which
// something has changed. Its zero value has seen none. It is for one goroutine at a
// time; what is in its results is not to be changed.
type Renderer struct {
	kept map[string]kept        // by root
	refs map[string][]reference // of kustomization files, by ID

	// What tests have be slow; nil: kustomize, and half a minute.
	build   func(disk filesys.FileSystem, dir string) (resmap.ResMap, error)
	patient func(ctx context.Context, root string) (context.Context, context.CancelFunc)
}

// kept is what a root gave, and what it was made of, by path.
type kept struct {
	part
	marks map[string]string
	late  *running // what it gives then, if that took too long
	again bool     // nothing was wrong with it, and it is tried again
}

// Render builds everything below a directory, as the function of that name does.
// When ctx ends it returns at once, and what it returns is of no use.
func (k *Renderer) Render(ctx context.Context, src Source, dir string) Result {
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
		now[root] = k.of(ctx, r, root)
		if ctx.Err() != nil {
			return r.result
		}
		r.add(root, now[root].part)
		r.result.Unfinished = r.result.Unfinished || now[root].again || now[root].late != nil
	}
	k.kept, k.refs = now, repo.refs
	r.checkDependencies()
	return r.result
}

// of is what a root gives: what it gave before, if it is made of the same. While a
// build that was given up runs, no other one is begun.
func (k *Renderer) of(ctx context.Context, r *rendering, root string) kept {
	before, known := k.kept[root]
	switch {
	case known && before.late != nil && !before.late.ended():
		return before
	case !known || before.again || !r.repo.hasStill(before.marks):
		return k.anew(ctx, r, root)
	case before.late != nil:
		r.repo.marks = before.marks
		return kept{part: r.part(root, before.late), marks: r.repo.marks}
	}
	return before
}

func (k *Renderer) anew(ctx context.Context, r *rendering, root string) kept {
	ctx, cancel := k.patience(ctx, root)
	defer cancel()
	r.repo.marks = map[string]string{}
	r.repo.touch(root)
	build, err := r.begin(ctx, root, k.builder())
	switch {
	case err != nil && ctx.Err() != nil:
		return kept{part: part{failed: tooSlow(root, false)}, again: true}
	case err != nil:
		return kept{part: part{failed: err}, marks: r.repo.marks}
	case !build.ends(ctx):
		return kept{part: part{failed: tooSlow(root, true)}, marks: r.repo.marks, late: build}
	}
	return kept{part: r.part(root, build), marks: r.repo.marks}
}

func (k *Renderer) patience(ctx context.Context, root string) (context.Context, context.CancelFunc) {
	if k.patient != nil {
		return k.patient(ctx, root)
	}
	return context.WithTimeout(ctx, buildTime)
}

func (k *Renderer) builder() func(filesys.FileSystem, string) (resmap.ResMap, error) {
	if k.build != nil {
		return k.build
	}
	return kustomize
}
