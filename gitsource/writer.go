package gitsource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// ErrNothingToCommit says that the branch has that content already.
var ErrNothingToCommit = errors.New("nothing to commit")

// WriterOptions name the branch to write, in whose name, and the key to sign with.
type WriterOptions struct {
	Options
	Author Person
	// Committer; the author if empty.
	Committer  Person
	SigningKey SigningKey
}

// Change is one commit to make.
type Change struct {
	// Files by path from the root; nil removes one.
	Files map[string][]byte
	// Subject in words, Body and Trailers below it.
	Subject, Body string
	Trailers      [][2]string
	// Restore is asked, if somebody else has moved the branch, for files that
	// should be there besides: they may have been lost with it. May be nil.
	Restore func() (map[string][]byte, error)
}

// Writer commits to one branch. One at a time: a second call waits.
type Writer struct {
	remote
	author, committer Person
	key               signing
	crowd             crowd
	mu                sync.Mutex
	base              *base         // where the branch was last
	had               held          // what of it is here
	left              plumbing.Hash // where this writer last read or left it
	pushes            int
}

// base is a commit of the branch with its objects; hash is zero, and the tree
// empty, while there is no branch.
type base struct {
	store *objectStore
	hash  plumbing.Hash
	tree  plumbing.Hash
	dated time.Time // by its committer
}

// NewWriter checks the options; it does not connect.
func NewWriter(o WriterOptions) (*Writer, error) {
	r, err := newRemote(o.Options)
	w := &Writer{remote: r, author: o.Author, committer: cmp.Or(o.Committer, o.Author), key: signing{SigningKey: o.SigningKey}}
	if err == nil {
		_, err = w.key.signer()
	}
	return w, err
}

// Read returns the files below a directory of the branch, by path from the
// root; none if there is no branch or no such directory.
func (w *Writer) Read(ctx context.Context, dir string) (map[string][]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.refresh(ctx); err != nil {
		return nil, err
	}
	w.left = w.base.hash
	if w.base.hash.IsZero() {
		return map[string][]byte{}, nil
	}
	snapshot, err := newSnapshot(w.base.store, w.base.hash)
	if err != nil {
		return nil, err
	}
	found, err := snapshot.Files(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	files := map[string][]byte{}
	for _, f := range found {
		if f.Kind != Regular {
			continue
		}
		if files[f.Path], err = snapshot.Read(f.Path); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// Moved tells whether the branch is elsewhere than this writer last read or left
// it. It fetches nothing.
func (w *Writer) Moved(ctx context.Context) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	tip, err := w.tip(ctx)
	if errors.Is(err, ErrNoBranch) {
		return !w.left.IsZero(), nil
	}
	return err == nil && tip != w.left, err
}

// Commit makes one commit of a change on the newest tip and pushes it. When
// someone else was faster it does so again on their tip, until ctx ends: only
// the change's own files are ever touched. The error is ErrNothingToCommit if
// the branch has that content already, a *RefusedError if the server will not
// have it.
func (w *Writer) Commit(ctx context.Context, change Change) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var lost races
	for try := 0; ; try++ {
		if err := w.crowd.wait(ctx, try); err != nil {
			return "", fmt.Errorf("commit to %s of %s: others were faster %d times: %w", w.Branch, w.URL, try, err)
		}
		hash, err := w.try(ctx, change, try > 0)
		var race *lostRaceError
		if !errors.As(err, &race) {
			w.crowd.won(try)
			return hash, err
		}
		if lost.toNobody(race) {
			return "", &RefusedError{Branch: w.Branch, Words: race.words}
		}
	}
}

// try commits once. The first try goes on from what was pushed last, without
// asking for the tip: the push itself tells if that is stale.
func (w *Writer) try(ctx context.Context, change Change, again bool) (string, error) {
	if again || w.base == nil || w.base.store.doubtful() {
		if err := w.refresh(ctx); err != nil {
			return "", err
		}
	}
	if err := w.restore(&change); err != nil {
		return "", err
	}
	if w.had = (held{}); !w.base.hash.IsZero() {
		w.had = held{w.base.hash, w.base.store}
	}
	next, objects, err := w.build(change)
	if err != nil {
		return "", err
	}
	if err := w.push(ctx, next, objects); err != nil {
		w.base = nil
		return "", err
	}
	w.base, w.left, w.had = next, next.hash, held{next.hash, next.store}
	if w.pushes++; w.pushes%256 == 0 {
		w.base = nil // and with it the objects of all commits since
	}
	return next.hash.String(), nil
}

// restore adds to a change what others may have taken away.
func (w *Writer) restore(change *Change) error {
	if w.base.hash == w.left || change.Restore == nil {
		return nil
	}
	files, err := change.Restore()
	if err != nil {
		return err
	}
	maps.Copy(files, change.Files)
	change.Files = files
	return nil
}

// refresh brings base to the branch's tip.
func (w *Writer) refresh(ctx context.Context) error {
	var known plumbing.Hash
	if w.base != nil && !w.base.store.doubtful() {
		known = w.base.hash
	}
	tip, store, err := w.fetch(ctx, known, w.had)
	switch {
	case errors.Is(err, ErrNoBranch):
		w.base, err = newBase(w.newObjectStore(ctx))
		return err
	case err != nil || store == nil:
		return err
	}
	commit, err := object.GetCommit(store, tip)
	if err != nil {
		return fmt.Errorf("read commit %s: %w", tip, err)
	}
	w.base = &base{store: store, hash: tip, tree: commit.TreeHash, dated: commit.Committer.When}
	return nil
}

// build makes the commit and everything new below it, in memory.
func (w *Writer) build(change Change) (*base, []plumbing.Hash, error) {
	g := &grower{store: w.base.store}
	tree, err := g.root(w.base.tree, change.Files)
	if err != nil {
		return nil, nil, err
	}
	if tree == w.base.tree {
		return nil, nil, ErrNothingToCommit
	}
	now := time.Now()
	dated := w.base.noEarlier(now)
	commit := &object.Commit{Author: w.author.at(now), Committer: w.committer.at(dated), Message: change.message(), TreeHash: tree}
	if !w.base.hash.IsZero() {
		commit.ParentHashes = []plumbing.Hash{w.base.hash}
	}
	if err := w.key.sign(commit); err != nil {
		return nil, nil, err
	}
	hash, err := g.save(commit)
	if err != nil {
		return nil, nil, err
	}
	return &base{store: w.base.store, hash: hash, tree: tree, dated: dated}, g.made, nil
}

// noEarlier is now, or when the branch's newest commit was made if our clock is behind
// that: whoever looks for commits since a date stops at the first that is older. When
// a commit was really made, as far as we know, its author's time says.
func (b *base) noEarlier(now time.Time) time.Time {
	if b.dated.After(now) {
		return b.dated.In(now.Location())
	}
	return now
}
