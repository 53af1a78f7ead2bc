package gitsource

import (
	"context"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/memory"
)

// held is a commit that is here already, with its whole tree; none without a store.
type held struct {
	commit plumbing.Hash
	store  *memory.Storage
}

// over is what is new over what was there. What was there is only read: snapshots
// of it may be in use.
type over struct {
	*memory.Storage
	was *memory.Storage
}

func (o over) EncodedObject(kind plumbing.ObjectType, hash plumbing.Hash) (plumbing.EncodedObject, error) {
	if found, err := o.Storage.EncodedObject(kind, hash); err == nil {
		return found, nil
	}
	return o.was.EncodedObject(kind, hash)
}

// increase is a store with a commit and its whole tree, of which only what is not
// held was sent. It is an error if anything is missing: histories have been seen
// after which servers and go-git were both content with less.
func (h held) increase(ctx context.Context, n *narrow, commit plumbing.Hash) (*memory.Storage, error) {
	news := over{memory.NewStorage(), h.store}
	if commit != h.commit {
		have := []string{"thin-pack", "shallow " + h.commit.String(), "have " + h.commit.String()}
		if err := n.fetchInto(ctx, commit, 1, have, news); err != nil {
			return nil, err
		}
	}
	whole := memory.NewStorage()
	return whole, gather(news, commit, whole)
}

// gather copies an object and all that it leads to, but for commits before: what is
// left behind is not needed any longer.
func gather(from storer.EncodedObjectStorer, hash plumbing.Hash, to *memory.Storage) error {
	if to.HasEncodedObject(hash) == nil {
		return nil
	}
	found, err := from.EncodedObject(plumbing.AnyObject, hash)
	if err != nil {
		return fmt.Errorf("object %s: %w", hash, err)
	}
	if _, err := to.SetEncodedObject(found); err != nil {
		return err
	}
	below, err := leadsTo(from, found)
	for i := 0; i < len(below) && err == nil; i++ {
		err = gather(from, below[i], to)
	}
	return err
}

// leadsTo is what an object needs to be whole.
func leadsTo(from storer.EncodedObjectStorer, o plumbing.EncodedObject) (below []plumbing.Hash, err error) {
	switch o.Type() {
	case plumbing.TagObject:
		tag, err := object.DecodeTag(from, o)
		if err != nil {
			return nil, err
		}
		return []plumbing.Hash{tag.Target}, nil
	case plumbing.CommitObject:
		commit, err := object.DecodeCommit(from, o)
		if err != nil {
			return nil, err
		}
		return []plumbing.Hash{commit.TreeHash}, nil
	case plumbing.TreeObject:
		tree, err := object.DecodeTree(from, o)
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
