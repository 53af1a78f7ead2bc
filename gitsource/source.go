// Package gitsource is the only one that talks to Git servers. A Source reads
// commits of a branch, or of tags, signed ones alone if that is asked for; a Writer
// commits results to a branch. What is large of either may be in a file.
//
// It promises that a Snapshot is one commit, whole: a missing object is an
// error, never a shorter list. Commits are made in memory and pushed with
// compare-and-swap: nothing of others is ever overwritten. Every call ends with
// its context, and no error holds a credential.
package gitsource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"golang.org/x/crypto/ssh"
)

// DefaultTimeout bounds one exchange with the server, but for a transfer: of that, how
// long nothing may come.
const DefaultTimeout = 30 * time.Second

// ErrNoBranch says that the repository has no such branch.
var ErrNoBranch = errors.New("no such branch")

// Options name a branch of a repository.
type Options struct {
	// URL with https, http, ssh or file, or git@host:path. Without credentials:
	// those are in Auth.
	URL    string
	Branch string
	// Tag, for a Source, is which versions to read instead of a branch: of the tags that
	// fit ("v1.*", ">=1.2 <2"), the highest. Commit is one to stay on.
	Tag, Commit string
	Auth        Auth
	// SignersFile names whose signatures of commits count when the branch is read:
	// lines of allowed_signers for SSH keys, OpenPGP public keys in armor. Empty:
	// commits need no signature.
	SignersFile string
	// CacheDir is a directory on a disk, for a file with what of the branch has no room
	// in memory; empty: memory has all.
	CacheDir string
	// Timeout of one exchange, and of silence in a transfer; 0: DefaultTimeout.
	Timeout time.Duration
	// Silence that is kept together with others who ask the same hosts; nil: alone.
	Silence *Silence
}

// Source reads one branch, for one goroutine at a time.
type Source struct {
	remote
	read    *Snapshot // that was handed out last
	refused *Snapshot // the tip as it was last, if it was not signed as it must be
}

// NewSource checks the options; it does not connect.
func NewSource(o Options) (*Source, error) {
	r, err := newRemote(o)
	if err == nil && o.SignersFile != "" {
		_, err = readSigners(o.SignersFile)
	}
	return &Source{remote: r}, err
}

// Newer is the newest commit of the branch, nil if that is the one known already
// ("" for none): then nothing was fetched.
//
// It is an *UnverifiedError if that commit is not signed by one of the signers. It is
// looked at again each time, since they may change, but fetched once.
func (s *Source) Newer(ctx context.Context, known string) (*Snapshot, error) {
	lost := s.read != nil && s.read.store.doubtful()
	tip, err := s.tipSnapshot(ctx, known)
	if err != nil || tip == nil {
		return nil, err
	}
	if s.refused = nil; tip.Commit == known && !lost { // by another tag, or again
		s.read = tip
		return nil, nil
	}
	if err := s.verify(tip); err != nil {
		s.refused = tip
		return nil, err
	}
	s.read = tip
	return tip, nil
}

// tipSnapshot is the branch's newest commit, nil if that is the one known.
func (s *Source) tipSnapshot(ctx context.Context, known string) (*Snapshot, error) {
	at := plumbing.NewHash(known)
	switch {
	case s.refused != nil:
		at = s.refused.tip
	case s.read != nil && s.read.Commit == known:
		at = s.read.tip
	}
	var have held
	if last := cmp.Or(s.refused, s.read); last != nil {
		have = held{plumbing.NewHash(last.Commit), last.store}
	}
	tip, store, err := s.fetch(ctx, at, have)
	if err != nil || store == nil {
		return s.refused, err
	}
	return newSnapshot(store, tip)
}

// remote is one branch on a server.
type remote struct {
	Options
	name    plumbing.ReferenceName
	sshKey  *opened[ssh.Signer]
	web     *web
	met     *met
	app     *appTokens
	room    int64         // in memory, where there is a CacheDir
	longest time.Duration // of a transfer
}

func newRemote(o Options) (remote, error) {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Silence == nil {
		o.Silence = &Silence{}
	}
	app := &appTokens{auth: o.Auth, web: &web{auth: o.Auth, silence: o.Silence}}
	r := remote{
		Options: o,
		name:    plumbing.NewBranchReferenceName(o.Branch),
		sshKey:  &opened[ssh.Signer]{},
		web:     &web{auth: o.Auth, refused: app.forget, silence: o.Silence},
		met:     &met{},
		app:     app,
		room:    roomInMemory,
		longest: MaxTransfer,
	}
	if err := CheckURL(o.URL); err != nil {
		return r, err
	}
	if err := r.name.Validate(); o.Branch == "" || err != nil {
		return r, fmt.Errorf("branch %q is not a valid name", o.Branch)
	}
	if err := o.checkChoice(); err != nil {
		return r, err
	}
	return r, r.checkAuth()
}

// checkAuth reads the credentials, as far as that goes without a server.
func (r *remote) checkAuth() error {
	endpoint, err := transport.NewEndpoint(r.URL)
	if err != nil {
		return err
	}
	switch endpoint.Protocol {
	case "ssh":
		_, err := r.sshConfig(endpoint)
		return err
	case "file":
		return nil
	}
	if err := r.Auth.check(); err != nil {
		return err
	}
	if _, err := r.web.transport(); err != nil {
		return err
	}
	if r.Auth.AppKeyFile != "" {
		_, err := r.app.open()
		return err
	}
	_, err = r.credential(context.Background())
	return err
}

// Commit metadata that people want to read.
func describe(c *object.Commit) (subject, author string, at time.Time) {
	return firstLine(c.Message), c.Author.Name, c.Author.When
}
