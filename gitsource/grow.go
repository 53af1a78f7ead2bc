package gitsource

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"sort"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// grower makes new objects in a store and remembers which.
type grower struct {
	store *objectStore
	made  []plumbing.Hash
}

// newBase is a branch that does not exist yet: an empty tree.
func newBase(store *objectStore) (*base, error) {
	g := &grower{store: store}
	tree, err := g.save(&object.Tree{})
	return &base{store: store, tree: tree}, err
}

// encodable is an object of Git.
type encodable interface {
	Encode(plumbing.EncodedObject) error
}

func (g *grower) save(o encodable) (plumbing.Hash, error) {
	encoded := g.store.NewEncodedObject()
	if err := o.Encode(encoded); err != nil {
		return plumbing.ZeroHash, err
	}
	return g.keep(encoded)
}

func (g *grower) keep(encoded plumbing.EncodedObject) (plumbing.Hash, error) {
	hash, err := g.store.SetEncodedObject(encoded)
	g.made = append(g.made, hash)
	return hash, err
}

func (g *grower) blob(content []byte) (plumbing.Hash, error) {
	encoded := g.store.NewEncodedObject()
	encoded.SetType(plumbing.BlobObject)
	w, err := encoded.Writer()
	if err != nil {
		return plumbing.ZeroHash, err
	}
	if _, err := w.Write(content); err != nil {
		return plumbing.ZeroHash, err
	}
	return g.keep(encoded)
}

// root is the tree of a whole commit, with files put in and taken out.
func (g *grower) root(hash plumbing.Hash, files map[string][]byte) (plumbing.Hash, error) {
	tree, err := g.grow(hash, "", files)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	return g.save(tree)
}

// grow is a directory with files put in and taken out, whose paths start there, and
// with all below it saved. A directory that becomes empty goes away, as in Git.
// Nothing else changes. The zero hash is a directory that is not there yet.
func (g *grower) grow(hash plumbing.Hash, dir string, files map[string][]byte) (*object.Tree, error) {
	entries := map[string]object.TreeEntry{}
	if !hash.IsZero() {
		tree, err := object.GetTree(g.store, hash)
		if err != nil {
			return nil, fmt.Errorf("read directory %q of the branch: %w", dir, err)
		}
		for _, e := range tree.Entries {
			entries[e.Name] = e
		}
	}
	for name, below := range split(files) {
		if err := g.change(entries, dir, name, below); err != nil {
			return nil, err
		}
	}
	grown := &object.Tree{Entries: slices.Collect(maps.Values(entries))}
	sort.Sort(object.TreeEntrySorter(grown.Entries))
	return grown, nil
}

// change puts what belongs below one name into a tree's entries. The empty path
// below a name is the file of that name itself.
func (g *grower) change(entries map[string]object.TreeEntry, dir, name string, below map[string][]byte) error {
	if content, isFile := below[""]; isFile {
		if content == nil {
			delete(entries, name)
			return nil
		}
		hash, err := g.blob(content)
		entries[name] = object.TreeEntry{Name: name, Mode: filemode.Regular, Hash: hash}
		return err
	}
	var was plumbing.Hash
	if entries[name].Mode == filemode.Dir {
		was = entries[name].Hash
	}
	tree, err := g.grow(was, path.Join(dir, name), below)
	if err != nil {
		return err
	}
	if len(tree.Entries) == 0 {
		delete(entries, name)
		return nil
	}
	hash, err := g.save(tree)
	entries[name] = object.TreeEntry{Name: name, Mode: filemode.Dir, Hash: hash}
	return err
}

// split groups files by the first part of their path.
func split(files map[string][]byte) map[string]map[string][]byte {
	groups := map[string]map[string][]byte{}
	for name, content := range files {
		first, rest, _ := strings.Cut(name, "/")
		if groups[first] == nil {
			groups[first] = map[string][]byte{}
		}
		groups[first][rest] = content
	}
	return groups
}
