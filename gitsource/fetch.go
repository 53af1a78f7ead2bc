package gitsource

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"
)

// errMoved says that the server no longer has a commit that it has just listed.
var errMoved = errors.New("the branch moved meanwhile")

// errDoubt says that what is here already is better not relied on.
var errDoubt = errors.New("the commit is not whole")

// tip asks the server where the branch is; ErrNoBranch if there is none.
func (r *remote) tip(ctx context.Context) (plumbing.Hash, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	session, err := r.open(ctx)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	defer session.Close()
	chosen, err := r.choose(session.listed())
	if err != nil {
		return plumbing.ZeroHash, err
	}
	return chosen.Hash(), nil
}

// fetch gets the branch's tip with its whole tree and nothing before it; a nil
// store if the tip is the one known. Of what is held it is sent only the difference,
// if the server speaks version 2: the store is a fresh one nevertheless, and whole.
func (r *remote) fetch(ctx context.Context, known plumbing.Hash, have held) (plumbing.Hash, *objectStore, error) {
	return r.fetchLast(ctx, known, have, 1)
}

// fetchLast gets the branch's last commits, so many. On any doubt it gets them anew:
// go-git's incremental shallow fetches miss objects after a force-push or a
// rollback, and say nothing.
func (r *remote) fetchLast(ctx context.Context, known plumbing.Hash, have held, commits int) (plumbing.Hash, *objectStore, error) {
	if have.store.doubtful() { // and so is the one known, which may be on the same shelf
		known, have = plumbing.ZeroHash, held{}
	}
	if known.String() == r.Commit {
		return known, nil, nil // which never is anything else
	}
	for {
		tip, store, err := r.exchange(ctx, known, have, commits)
		doubt := errors.Is(err, errDoubt)
		if doubt {
			have = held{}
		}
		if !doubt && !errors.Is(err, errMoved) || ctx.Err() != nil {
			return tip, store, err
		}
	}
}

// exchange lists and fetches in one session: go-git's Fetch would list again
// after whoever asked where the tip is.
func (r *remote) exchange(ctx context.Context, known plumbing.Hash, have held, commits int) (plumbing.Hash, *objectStore, error) {
	t, stop := r.transfer(ctx)
	defer stop()
	session, err := r.open(t)
	if err != nil {
		return plumbing.ZeroHash, nil, err
	}
	defer session.Close()
	chosen, err := r.choose(session.listed())
	if err != nil || chosen.Hash() == known {
		return known, nil, err
	}
	tip, store := chosen.Hash(), r.newObjectStore(ctx)
	t.more()
	if n, narrow := session.(*narrow); narrow && have.store != nil && !have.store.worn() {
		if store, err = have.increase(t, n, tip); err != nil {
			return tip, nil, fmt.Errorf("%w: %w", errDoubt, r.explain("fetch from", because(t, err)))
		}
	} else if err := session.fetch(t, tip, commits, store); err != nil {
		return tip, nil, r.moved(ctx, tip, r.explain("fetch from", because(t, err)))
	}
	return tip, store, store.SetReference(chosen)
}

// moved turns a failed fetch into errMoved if the branch is somewhere else now:
// servers refuse commits that are no tip in words of their own.
func (r *remote) moved(ctx context.Context, want plumbing.Hash, failure error) error {
	if now, err := r.tip(ctx); err == nil && now != want {
		return errMoved
	}
	return failure
}
