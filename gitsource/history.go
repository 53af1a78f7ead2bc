package gitsource

import (
	"context"
	"errors"
	"io/fs"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// History is the commits that made, changed or removed a file, newest first, among
// the branch's last so many. Where two lines were merged it follows the first.
func (s *Source) History(ctx context.Context, file string, commits int) (changed []*Snapshot, err error) {
	tip, store, err := s.fetchLast(ctx, plumbing.ZeroHash, held{}, commits)
	if err != nil {
		return nil, err
	}
	now, err := newSnapshot(store, tip)
	for now != nil && err == nil && ctx.Err() == nil {
		before, known := (*Snapshot)(nil), false
		if commits--; commits > 0 {
			before, err = now.parent()
			known = err == nil
		}
		if known {
			var differs bool
			if differs, err = now.differs(before, file); differs {
				changed = append(changed, now)
			}
		}
		now = before
	}
	return changed, errors.Join(err, context.Cause(ctx))
}

// parent is the first commit before, nil if there is none.
func (s *Snapshot) parent() (*Snapshot, error) {
	commit, err := object.GetCommit(s.store, plumbing.NewHash(s.Commit))
	if err != nil || len(commit.ParentHashes) == 0 {
		return nil, err
	}
	return newSnapshot(s.store, commit.ParentHashes[0])
}

// differs tells whether a file is another one than in the commit before.
func (s *Snapshot) differs(before *Snapshot, file string) (bool, error) {
	now, err := s.blob(file)
	was, errBefore := before.blob(file)
	return now != was, errors.Join(err, errBefore)
}

// blob is what a file holds, by its name in Git; zero if it is not there.
func (s *Snapshot) blob(file string) (plumbing.Hash, error) {
	if s == nil {
		return plumbing.ZeroHash, nil
	}
	entry, err := s.entry(file)
	if errors.Is(err, fs.ErrNotExist) {
		return plumbing.ZeroHash, nil
	}
	if err != nil {
		return plumbing.ZeroHash, err
	}
	return entry.Hash, nil
}
