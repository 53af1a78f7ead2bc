// Package render turns a commit into HotPatches. It is the only importer of
// kustomize, and keeps it from doing more than it should: nothing is fetched,
// no program is run, no symlink is followed, and sizes, numbers and time are bounded.
//
// It promises that one bad file stops only what is built from it: everything
// else is in the result, and each error names the file.
package render

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/condition"
)

// Kind of a file.
type Kind int

// The kinds.
const (
	Regular Kind = iota
	Symlink
	Submodule
)

// File is a file of the repository.
type File struct {
	Path string // from the repository's root
	Size int64
	Kind Kind
	// ID is the same for the same content alone; "" if the source does not know.
	ID string
}

// Source is a commit.
type Source interface {
	// Files lists everything below a directory.
	Files(dir string) ([]File, error)
	// Read is a file's content.
	Read(path string) ([]byte, error)
}

// Content is a file that a HotPatch hands to sidecars, or a directory that it
// hands to them in one tar file; see Read.
type Content struct {
	SHA256   string
	RepoPath string
	Size     int64
	Dir      bool
}

// Item is a HotPatch with where it came from.
type Item struct {
	HotPatch api.HotPatch
	// File that it stands in, and Root that it was built from.
	File, Root string
	// Files by spec.files[].path, of those that come from the repository.
	Files map[string]Content
}

// Suspension is a Suspension with the file it stands in.
type Suspension struct {
	api.Suspension
	File string
}

// Result is all that a commit asks for, and all that is wrong with it.
type Result struct {
	Items       []Item
	Suspensions []Suspension
	// Errors, each naming its file.
	Errors []error
	// Broken are objects ("namespace/name") that are there but cannot be used.
	Broken map[string]error
	// BrokenSuspensions likewise, by name.
	BrokenSuspensions map[string]error
	// Failed are roots of which nothing could be built.
	Failed []string
	// Unfinished: some of them took too long, and rendering the same commit again may
	// give more.
	Unfinished bool
}

// Render builds everything below a directory: the kustomization in it, or each
// topmost one below it, and plain YAML files each on its own.
func Render(ctx context.Context, src Source, dir string) Result {
	return new(Renderer).Render(ctx, src, dir)
}

// rendering is one of them, and gathers its result.
type rendering struct {
	src    Source
	repo   *repository
	result Result
	keys   map[string]string // file by HotPatch, to tell the same name twice
}

func (r *rendering) failed(root string, err error) {
	r.result.Failed = append(r.result.Failed, root)
	r.result.Errors = append(r.result.Errors, err)
}

// part is what one root gives.
type part struct {
	items       []Item
	suspensions []Suspension
	broken      []fault
	failed      error
}

// fault is an object that cannot be used.
type fault struct {
	object
	err error
}

// part is what the build of a kustomization or plain file gives.
func (r *rendering) part(root string, build *running) (p part) {
	objects, err := build.objects(root)
	if err != nil {
		return part{failed: err}
	}
	for _, o := range objects {
		if o.kind == api.KindSuspension {
			var s api.Suspension
			if s, err = api.DecodeSuspension(o.file, o.yaml); err == nil {
				p.suspensions = append(p.suspensions, Suspension{s, o.file})
			}
		} else {
			var item Item
			if item, err = r.item(root, o); err == nil {
				p.items = append(p.items, item)
			}
		}
		if err != nil {
			o.yaml = nil // nobody reads it any more
			p.broken = append(p.broken, fault{o, err})
		}
	}
	return p
}

// add takes a root's part into the result.
func (r *rendering) add(root string, p part) {
	if p.failed != nil {
		r.failed(root, p.failed)
		return
	}
	for _, f := range p.broken {
		r.result.Errors = append(r.result.Errors, f.err)
		if f.kind == api.KindSuspension {
			r.result.BrokenSuspensions[f.name] = f.err
		} else {
			r.result.Broken[f.key] = f.err
		}
	}
	for _, item := range p.items {
		if err := r.once(item); err != nil {
			r.result.Errors = append(r.result.Errors, err)
			r.result.Broken[item.HotPatch.Key()] = err
			continue
		}
		r.result.Items = append(r.result.Items, item)
	}
	r.result.Suspensions = append(r.result.Suspensions, p.suspensions...)
}

// once refuses a second object of the same name.
func (r *rendering) once(item Item) error {
	key := item.HotPatch.Key()
	if first, twice := r.keys[key]; twice {
		r.result.Items = slices.DeleteFunc(r.result.Items, func(i Item) bool { return i.HotPatch.Key() == key })
		return &api.Error{File: item.File, Object: "HotPatch " + key, Field: "metadata.name", Reason: "stands in " + first + " too; give one of them another name"}
	}
	r.keys[key] = item.File
	return nil
}

// Decode reads one HotPatch as api.Decode does, and compiles its conditions.
func Decode(file string, doc []byte) (api.HotPatch, error) {
	h, err := api.Decode(file, doc)
	if err != nil {
		return h, err
	}
	return h, condition.Check(file, h)
}

func (r *rendering) item(root string, o object) (Item, error) {
	h, err := Decode(o.file, o.yaml)
	if err != nil {
		return Item{}, err
	}
	item := Item{HotPatch: h, File: o.file, Root: root, Files: map[string]Content{}}
	var errs []error
	for i, f := range h.Spec.Files {
		if f.From == "" {
			continue
		}
		content, err := r.content(path.Join(path.Dir(o.file), f.From))
		if err == nil && f.SHA256 != "" && f.SHA256 != content.SHA256 {
			err = fmt.Errorf("%s has the SHA-256 %s", content.RepoPath, content.SHA256)
		}
		if err != nil {
			errs = append(errs, &api.Error{File: o.file, Object: "HotPatch " + h.Key(), Field: fmt.Sprintf("spec.files[%d].from", i), Reason: err.Error()})
			continue
		}
		item.Files[f.Path] = content
	}
	return item, errors.Join(errs...)
}

func (r *rendering) content(name string) (Content, error) {
	r.repo.touch(name)
	f, ok := r.repo.files[name]
	c := Content{RepoPath: name, Dir: r.repo.dirs[name] != nil}
	switch {
	case c.Dir:
	case !ok:
		return Content{}, fmt.Errorf("there is no file or directory %s in the repository", name)
	case f.Kind != Regular:
		return Content{}, fmt.Errorf("%s is not a regular file", name)
	case f.Size > MaxContent:
		return Content{}, fmt.Errorf("%s has %d bytes; at most %d can be handed to sidecars", name, f.Size, MaxContent)
	}
	content, err := Read(r.src, c)
	if err != nil {
		return Content{}, err
	}
	sum := sha256.Sum256(content)
	c.SHA256, c.Size = hex.EncodeToString(sum[:]), int64(len(content))
	return c, nil
}
