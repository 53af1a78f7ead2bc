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

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// DefaultTimeout bounds one exchange with the server.
const DefaultTimeout = 30 * time.Second

// ErrNoBranch says that the repository has no such branch.
var ErrNoBranch = errors.New("no such branch")

// Options name a branch of a repository.
type Options struct {
	// URL with https, http, ssh or file, or git@host:path. Without credentials:
	// those are in Auth.
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

// Newer is the newest commit of the branch, nil if that is the one known already
// ("" for none): then nothing was fetched.
func (s *Source) Newer(ctx context.Context, known string) (*Snapshot, error) {
	commit, store, err := s.fetch(ctx, plumbing.NewHash(known))
	if err != nil || store == nil {
		return nil, err
	}
	return newSnapshot(store, commit)
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
	if err := CheckURL(o.URL); err != nil {
		return r, err
	}
	if err := r.name.Validate(); o.Branch == "" || err != nil {
		return r, fmt.Errorf("branch %q is not a valid name", o.Branch)
	}
	if _, _, _, err := r.connect(); err != nil { // as far as that goes without a server
		return r, err
	}
	return r, nil
}

// Commit metadata that people want to read.
func describe(c *object.Commit) (subject, author string, at time.Time) {
	return firstLine(c.Message), c.Author.Name, c.Committer.When
}
