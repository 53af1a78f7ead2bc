package gitsource

import (
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// held is a commit that is here already, with its whole tree; none without a store.
type held struct {
	commit plumbing.Hash
	store  *objectStore
}

// increase is a store with a commit and its whole tree, of which only what is not
// held was sent. It is an error if anything is missing: histories have been seen
// after which servers and go-git were both content with less.
func (h held) increase(t *transfer, n *narrow, commit plumbing.Hash) (*objectStore, error) {
	news := h.store.above()
	if commit != h.commit {
		have := []string{"thin-pack", "shallow " + h.commit.String(), "have " + h.commit.String()}
		if err := n.fetchInto(t, commit, 1, have, news); err != nil {
			return nil, err
		}
	}
	whole := newObjectStore(h.store.shelf)
	return whole, gather(news, commit, whole)
}

// gather takes over an object and all that it leads to, but for commits before: what
// is left behind is not needed any longer. Trees may be as deep as a server likes.
func gather(from *objectStore, name plumbing.Hash, to *objectStore) error {
	for next := []plumbing.Hash{name}; len(next) > 0; {
		name, next = next[len(next)-1], next[:len(next)-1]
		if to.HasEncodedObject(name) == nil {
			continue
		}
		found, ok := from.find(name)
		if !ok {
			return fmt.Errorf("object %s: %w", name, plumbing.ErrObjectNotFound)
		}
		to.take(name, found)
		below, err := leadsTo(from, name, found.kind)
		if err != nil {
			return err
		}
		next = append(next, below...)
	}
	return nil
}

// leadsTo is what an object needs to be whole.
func leadsTo(from *objectStore, name plumbing.Hash, kind plumbing.ObjectType) (below []plumbing.Hash, err error) {
	switch kind {
	case plumbing.TagObject:
		tag, err := object.GetTag(from, name)
		if err != nil {
			return nil, err
		}
		return []plumbing.Hash{tag.Target}, nil
	case plumbing.CommitObject:
		commit, err := object.GetCommit(from, name)
		if err != nil {
			return nil, err
		}
		return []plumbing.Hash{commit.TreeHash}, nil
	case plumbing.TreeObject:
		tree, err := object.GetTree(from, name)
		if err != nil {
			return nil, err
		}
		for _, e := range tree.Entries {
			if e.Mode != filemode.Submodule {
				below = append(below, e.Hash)
			}
		}
	}
	return below, nil
}
