package sidecar

import (
	"context"
	"errors"
	"slices"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/logging"
)

const (
	firstRestorePause = time.Second
	maxRestorePause   = time.Minute
)

// restore brings back what was applied last: what an earlier life of this
// container began or had in place, or, in a new pod, what its key of the
// ConfigMap says. It tries until ctx ends, and callers need not wait for it: a
// file that somebody has updated meanwhile is left alone.
func (u *updater) restore(ctx context.Context) {
	var todo []func(context.Context) error
	page := u.book.snapshot()
	for path, e := range page.Files {
		if e.target() != nil {
			todo = append(todo, func(ctx context.Context) error { return u.resume(ctx, path) })
		}
	}
	if len(todo) == 0 {
		todo = append(todo, u.restoreHistory)
	}
	if page.unstored() {
		u.store.later()
	}
	for pause := firstRestorePause; ; pause = min(2*pause, maxRestorePause) {
		todo = slices.DeleteFunc(todo, func(try func(context.Context) error) bool {
			err := try(ctx)
			if err != nil {
				logging.From(ctx).WithError(err).Warning("not restored yet; trying again")
			}
			return err == nil
		})
		if len(todo) == 0 || !sleep(ctx, pause) {
			return
		}
	}
}

// resume finishes what an earlier life began with a file, or brings back what
// it had in place.
func (u *updater) resume(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, u.limit)
	defer cancel()
	unlock, err := u.locks.lock(ctx, path)
	if err != nil {
		return err
	}
	defer unlock()
	e := u.book.entry(path)
	target := e.target()
	have, err := u.share.digest(path)
	if err != nil {
		return err
	}
	if target == nil || have == target.SHA256 && e.Next == nil && e.State == api.FileUpdated {
		return nil
	}
	a := ask{path: path, version: target.Version, url: target.URL, sha256: target.SHA256}
	if err := u.book.begin(a, target.SHA256); err != nil {
		return err
	}
	_, err = u.apply(ctx, a)
	return err
}

// restoreHistory brings back what the ConfigMap says of an earlier pod of this
// name.
func (u *updater) restoreHistory(ctx context.Context) error {
	h, err := u.store.first(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, a := range h.latest() {
		errs = append(errs, u.bringBack(ctx, a))
	}
	return errors.Join(errs...)
}

func (u *updater) bringBack(ctx context.Context, a ask) error {
	ctx, cancel := context.WithTimeout(ctx, u.limit)
	defer cancel()
	unlock, err := u.locks.lock(ctx, a.path)
	if err != nil {
		return err
	}
	defer unlock()
	if u.book.entry(a.path).SHA256 != "" {
		return nil // somebody was faster
	}
	_, err = u.apply(ctx, a)
	return err
}
