package sidecar

import (
	"context"
	"slices"
	"sync"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/logging"
)

const (
	firstRestorePause = time.Second
	maxRestorePause   = time.Minute
	fetchesAtOnce     = 4
)

// restore brings back what was applied last: what an earlier life of this
// container began or had in place, or, in a new pod, what the ledger says. It
// tries until ctx ends, and callers need not wait for it: a file that somebody
// has updated meanwhile is left alone. The gate is opened once all files are in
// place, before anybody is told: the process may not have been started yet.
func (u *updater) restore(ctx context.Context) {
	if u.book.snapshot().unstored() {
		u.store.later()
	}
	todo, known := []string(nil), false
	for pause := firstRestorePause; ; pause = min(2*pause, maxRestorePause) {
		var err error
		if !known {
			todo, err = u.recall(ctx)
			known = err == nil
		}
		if err != nil {
			logging.From(ctx).WithError(err).Warning("it is not known yet what to restore; trying again")
		} else if todo = u.round(ctx, todo); len(todo) == 0 {
			return
		}
		if !sleep(ctx, pause) {
			return
		}
	}
}

// recall is which files there are to look after. What the ledger says is noted
// in the book as begun.
func (u *updater) recall(ctx context.Context) ([]string, error) {
	paths := u.book.begun()
	if len(paths) > 0 {
		return paths, nil
	}
	asks, err := u.store.first(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range asks {
		if bad := checkPath(a.path); bad != nil {
			logging.From(ctx).WithError(bad).Warning("a file of the record is passed over")
			continue
		}
		if err := u.book.expect(a); err != nil {
			return nil, err
		}
	}
	return u.book.begun(), nil
}

// round tries once to have all files in place, then opens the gate and tells
// the process. It returns the files that are not restored yet.
func (u *updater) round(ctx context.Context, paths []string) (left []string) {
	missing := u.fetch(ctx, paths)
	if len(missing) == 0 {
		u.gate.open()
	}
	for _, path := range paths {
		if slices.Contains(missing, path) {
			left = append(left, path)
			continue
		}
		if err := u.withTurn(ctx, path, u.resume); err != nil {
			logging.From(ctx).WithError(err).Warning("not restored yet; trying again")
			left = append(left, path)
		}
	}
	return left
}

// fetch brings files to their places, some at once so that one with a dead URL
// holds up no other, and returns those that are not there.
func (u *updater) fetch(ctx context.Context, paths []string) (missing []string) {
	var all sync.WaitGroup
	var mu sync.Mutex
	slots := make(chan struct{}, fetchesAtOnce)
	for _, path := range paths {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			if err := u.withTurn(ctx, path, u.bringBack); err != nil {
				logging.From(ctx).WithError(err).Warning("not back in its place yet; trying again")
				mu.Lock()
				defer mu.Unlock()
				missing = append(missing, path)
			}
		})
	}
	all.Wait()
	return missing
}

// withTurn does a step of the restore when it is the file's turn.
func (u *updater) withTurn(ctx context.Context, path string, step func(context.Context, string) error) error {
	ctx, cancel := context.WithTimeout(ctx, u.limit)
	defer cancel()
	unlock, err := u.locks.lock(ctx, path)
	if err != nil {
		return err
	}
	defer unlock()
	return step(ctx, path)
}

// bringBack has the content in place that an earlier life had there or began
// with.
func (u *updater) bringBack(ctx context.Context, path string) error {
	target := u.book.entry(path).target()
	have, err := u.share.digest(path)
	if err != nil {
		return err
	}
	if target == nil || have != "" && have == target.SHA256 {
		return nil
	}
	a := target.ask(path)
	if err := u.book.begin(a, a.sha256); err != nil {
		return err
	}
	digest, err := u.place(ctx, a)
	if err != nil {
		u.kept(u.book.entry(path), a, err)
		_, err = u.report(ctx, a, digest, err)
	}
	return err
}

// resume finishes with a file what an earlier life began.
func (u *updater) resume(ctx context.Context, path string) error {
	e := u.book.entry(path)
	target := e.target()
	have, err := u.share.digest(path)
	if err != nil {
		return err
	}
	if target == nil || have == target.SHA256 && e.Next == nil && e.State == api.FileUpdated {
		return nil
	}
	_, err = u.apply(ctx, target.ask(path))
	return err
}

func (n next) ask(path string) ask {
	return ask{path: path, version: n.Version, url: n.URL, sha256: n.SHA256, extract: n.Extract}
}
