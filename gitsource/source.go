// Package gitsource is the only one that talks to Git servers. A Source reads
// commits of a branch, a Writer commits results to one.
//
// It promises that a Snapshot is one commit, whole: a missing object is an
// error, never a shorter list. Commits are made in memory and pushed with
// compare-and-swap: nothing of others is ever overwritten. Every call ends with
// its context, and no error holds a credential.
package gitsource

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/storage/memory"
)

// DefaultTimeout bounds one exchange with the server.
const DefaultTimeout = 30 * time.Second

// ErrMoved says that the branch moved while it was fetched: ask for the tip
// again.
var ErrMoved = errors.New("the branch moved meanwhile")

// ErrNoBranch says that the repository has no such branch.
var ErrNoBranch = errors.New("no such branch")

// Options name a branch of a repository.
type Options struct {
	// URL with https, http or file. Without credentials: those are in Auth.
	URL    string
	Branch string
	Auth   Auth
	// Timeout of one exchange; 0: DefaultTimeout.
	Timeout time.Duration
}

// Source reads one branch.
type Source struct{ remote }

// NewSource checks the options; it does not connect.
func NewSource(o Options) (*Source, error) {
	r, err := newRemote(o)
	return &Source{r}, err
}

// Tip is the newest commit of the branch. It fetches nothing.
func (s *Source) Tip(ctx context.Context) (string, error) {
	hash, err := s.tip(ctx)
	if err != nil {
		return "", err
	}
	return hash.String(), nil
}

// Snapshot fetches a commit that Tip returned. The error is ErrMoved if it is
// no longer the tip.
func (s *Source) Snapshot(ctx context.Context, commit string) (*Snapshot, error) {
	store, err := s.fetch(ctx, plumbing.NewHash(commit))
	if err != nil {
		return nil, err
	}
	return newSnapshot(store, plumbing.NewHash(commit))
}

// remote is one branch on a server.
type remote struct {
	Options
	name plumbing.ReferenceName
}

func newRemote(o Options) (remote, error) {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	r := remote{Options: o, name: plumbing.NewBranchReferenceName(o.Branch)}
	if err := checkURL(o.URL); err != nil {
		return r, err
	}
	if err := r.name.Validate(); o.Branch == "" || err != nil {
		return r, fmt.Errorf("branch %q is not a valid name", o.Branch)
	}
	_, _, err := o.Auth.load()
	return r, err
}

// tip asks the server; ErrNoBranch if there is no such branch.
func (r *remote) tip(ctx context.Context) (plumbing.Hash, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	method, ca, err := r.Auth.load()
	if err != nil {
		return plumbing.ZeroHash, err
	}
	refs, err := r.git(memory.NewStorage()).ListContext(ctx, &git.ListOptions{Auth: method, CABundle: ca})
	if err != nil && !errors.Is(err, transport.ErrEmptyRemoteRepository) {
		return plumbing.ZeroHash, r.explain("list the branches of", err)
	}
	for _, ref := range refs {
		if ref.Name() == r.name {
			return ref.Hash(), nil
		}
	}
	return plumbing.ZeroHash, fmt.Errorf("%w: %s in %s", ErrNoBranch, r.Branch, r.URL)
}

// fetch gets one commit with its whole tree and nothing before it. A fresh
// store each time is what makes it right after a force-push or a rollback:
// go-git's incremental shallow fetches then miss objects and say nothing.
func (r *remote) fetch(ctx context.Context, want plumbing.Hash) (*memory.Storage, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	method, ca, err := r.Auth.load()
	if err != nil {
		return nil, err
	}
	store := memory.NewStorage()
	err = r.git(store).FetchContext(ctx, &git.FetchOptions{
		RefSpecs: []config.RefSpec{config.RefSpec("+" + r.name + ":" + r.name)},
		Depth:    1, Tags: git.NoTags, Auth: method, CABundle: ca,
	})
	if err != nil {
		return nil, r.moved(ctx, want, r.explain("fetch from", err))
	}
	ref, err := store.Reference(r.name)
	if err != nil {
		return nil, r.explain("fetch from", err)
	}
	if ref.Hash() != want {
		return nil, ErrMoved
	}
	return store, nil
}

// moved turns a failed fetch into ErrMoved if the branch is somewhere else now:
// servers refuse commits that are no tip in words of their own.
func (r *remote) moved(ctx context.Context, want plumbing.Hash, failure error) error {
	if now, err := r.tip(ctx); err == nil && now != want {
		return ErrMoved
	}
	return failure
}

func (r *remote) git(store *memory.Storage) *git.Remote {
	return git.NewRemote(store, &config.RemoteConfig{Name: "origin", URLs: []string{r.URL}})
}

// Commit metadata that people want to read.
func describe(c *object.Commit) (subject, author string, at time.Time) {
	return firstLine(c.Message), c.Author.Name, c.Committer.When
}
