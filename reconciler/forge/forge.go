// Package forge shows on a Git forge, beside a commit, what became of it in a
// cluster: the commit statuses of GitHub, GitLab and Gitea, which Forgejo has, too.
//
// It promises to call nobody but the forge, each time with a limit, to follow no
// redirects, to leave a forge alone for as long as it asks for, and never to put a
// token into an error. It remembers nothing else: what was shown last is asked of
// the forge.
package forge

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"hotpatch.dev/hotpatch/gitsource"
)

// State of a commit in a cluster.
type State string

// The states, each under another name on each forge.
const (
	Pending  State = "pending"  // it is on its way
	Success  State = "success"  // it is everywhere that it should be
	Failure  State = "failure"  // something of it failed
	Replaced State = "replaced" // another commit came before it was everywhere
)

// MaxWords is the longest text that all forges take, in bytes.
const MaxWords = 140

// Status is what is shown beside a commit. Name tells one cluster from another.
type Status struct {
	State       State
	Name, Words string
}

// timeout of one exchange with a forge.
const timeout = 15 * time.Second

// Forge shows statuses of one repository's commits. It may be used from several
// goroutines.
type Forge struct {
	kind
	place  place
	caller *gitsource.Caller
	silent atomic.Pointer[time.Time] // until when it wants not to be asked
}

// kind is how one kind of forge is spoken with.
type kind interface {
	// last is the newest status of a commit by its name; zero if there is none.
	last(ctx context.Context, to access, commit, name string) (Status, error)
	set(ctx context.Context, to access, commit string, s Status) error
}

// access is what one exchange goes by.
type access struct {
	place
	client *http.Client
	token  string
}

// Last is what the forge shows beside a commit by that name; zero if nothing.
func (f *Forge) Last(ctx context.Context, commit, name string) (shown Status, err error) {
	err = f.exchange(ctx, "read", commit, func(ctx context.Context, to access) error {
		shown, err = f.last(ctx, to, commit, name)
		return err
	})
	return shown, err
}

// Set has it show something else.
func (f *Forge) Set(ctx context.Context, commit string, s Status) error {
	return f.exchange(ctx, "set", commit, func(ctx context.Context, to access) error {
		return f.set(ctx, to, commit, s)
	})
}

func (f *Forge) exchange(ctx context.Context, verb, commit string, speak func(context.Context, access) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	to, err := f.access(ctx)
	if err == nil {
		err = speak(ctx, to)
	}
	if err != nil {
		return fmt.Errorf("%s the status of commit %.12s of %s at %s: %w", verb, commit, f.place.repository(), f.place.api, err)
	}
	return nil
}

func (f *Forge) access(ctx context.Context) (access, error) {
	if until := f.silent.Load(); until != nil && time.Now().Before(*until) {
		return access{}, fmt.Errorf("the forge asked not to be called before %s", until.UTC().Format("15:04:05 UTC"))
	}
	token, err := f.caller.Token(ctx)
	if err != nil {
		return access{}, err
	}
	client, err := f.caller.Client()
	if err != nil {
		return access{}, err
	}
	client.Transport = considerate{client.Transport, &f.silent}
	return access{f.place, client, token}, nil
}

// considerate notes for how long a forge wants to be left alone.
type considerate struct {
	via    http.RoundTripper
	silent *atomic.Pointer[time.Time]
}

func (c considerate) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := c.via.RoundTrip(r)
	if err == nil {
		if until := silence(answer, time.Now()); !until.IsZero() {
			c.silent.Store(&until)
		}
	}
	return answer, err
}
