package sidecar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/sidecar/download"
)

// maxMessage is how much of an error an annotation holds, in bytes.
const maxMessage = 512

// updater does one update: download → verify → replace → signal → record.
// Until the content is complete and verified nothing changes; from then on an
// update that is cut off is finished by the next life.
type updater struct {
	share    *share
	client   *download.Client
	maxBytes int64    // of an archive's content
	byDigest *url.URL // where content can be had as well, nil if nowhere
	process  teller
	book     *book
	store    *store
	locks    locks
	gate     *gate
	limit    time.Duration // of one update, its turn in the queue included
}

// update does what a caller asks, and answers with what is true afterwards. The
// error says what failed.
func (u *updater) update(ctx context.Context, a ask) (api.ObservedFile, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, u.limit, fmt.Errorf("not done after %s", u.limit))
	defer cancel()
	unlock, err := u.locks.lock(ctx, a.path)
	if err != nil {
		err = fmt.Errorf("failed to get a turn at %s: %w", a.path, err)
		return observed(a, err), err
	}
	defer unlock()
	if u.nothingToDo(a) {
		return u.confirm(ctx, a)
	}
	return u.apply(ctx, a)
}

// nothingToDo tells whether the very content asked for is in place, by digest
// read off the disk, and its process was told.
func (u *updater) nothingToDo(a ask) bool {
	e := u.book.entry(a.path)
	if a.sha256 == "" || a.force || e.Next != nil || e.State != api.FileUpdated || e.Version != a.version || e.SHA256 != a.sha256 {
		return false
	}
	return u.share.has(a)
}

// confirm answers with what is there, and makes sure that the cluster knows it.
func (u *updater) confirm(ctx context.Context, a ask) (api.ObservedFile, error) {
	if u.book.snapshot().unstored() {
		if err := u.store.save(ctx); err != nil {
			err = storeFailed(err)
			return observed(a, err), err
		}
	}
	return u.book.entry(a.path).ObservedFile, nil
}

// apply does the steps, with the file's lock held.
func (u *updater) apply(ctx context.Context, a ask) (api.ObservedFile, error) {
	before := u.book.entry(a.path)
	digest, err := u.place(ctx, a)
	if err != nil {
		u.kept(before, a, err)
		return u.report(ctx, a, digest, err)
	}
	err = u.finish(ctx, a, digest)
	return u.report(ctx, a, digest, err)
}

// place brings the content to its place, unless it is there already.
func (u *updater) place(ctx context.Context, a ask) (digest string, err error) {
	if u.share.has(a) {
		return a.sha256, nil
	}
	from, err := parseURL(a.url)
	if err != nil {
		return "", downloadFailed(err)
	}
	digest, err = u.download(ctx, a, from)
	if err != nil && u.byDigest != nil && a.sha256 != "" {
		again, second := u.download(ctx, a, u.byDigest.JoinPath(a.sha256, path.Base(a.path)))
		if second == nil {
			logging.From(ctx).WithField("file", a.path).WithError(err).Warning("taken by its digest from download.byDigest instead")
			return again, nil
		}
	}
	return digest, err
}

// download puts what a URL answers in the file's place.
func (u *updater) download(ctx context.Context, a ask, from *url.URL) (digest string, err error) {
	get := func(ctx context.Context, into io.Writer) (string, error) {
		ctx, end := u.locks.mayGiveWay(ctx, a.path)
		defer end()
		return u.client.Get(ctx, from, a.sha256, into)
	}
	begin := func(got string) error {
		digest = got
		return u.book.begin(a, got)
	}
	if a.extract {
		err = u.share.replaceTree(ctx, a.path, u.maxBytes, get, begin)
	} else {
		err = u.share.replace(ctx, a.path, get, begin)
	}
	return digest, err
}

// kept notes that a version did not get into place; what was there stays.
func (u *updater) kept(before entry, a ask, cause error) {
	e := before
	if have, err := u.share.digest(a.path); err != nil || have == "" || have != before.SHA256 {
		e.ObservedFile = observed(a, cause)
		e.SHA256, e.URL = have, "" // whosever it is, no version of ours
	}
	e.Message = a.version + ": " + short(cause)
	u.book.end(e, result(a.version, cause), nil)
}

// finish tells the process of content that is in place.
func (u *updater) finish(ctx context.Context, a ask, digest string) error {
	told := a
	told.sha256 = digest
	err := u.process.tell(ctx, told)
	e := entry{ObservedFile: observed(a, err), URL: a.url, Extract: a.extract}
	e.SHA256 = digest
	u.book.end(e, result(a.version, err), a.record(err))
	return err
}

// report stores how the update ended and answers. A result that could not be
// stored is a failure too: others would go on believing the old.
func (u *updater) report(ctx context.Context, a ask, digest string, err error) (api.ObservedFile, error) {
	log := logging.From(ctx).WithField("file", a.path).WithField("version", a.version)
	if stored := u.store.save(ctx); stored != nil {
		err = errors.Join(err, storeFailed(stored))
	}
	if err != nil {
		log.WithError(err).Error("file not updated")
		return observed(a, err), err
	}
	log.WithField("sha256", digest).Info("file updated")
	return u.book.entry(a.path).ObservedFile, nil
}

// observed is how an update ended, as callers and annotations have it.
func observed(a ask, err error) api.ObservedFile {
	o := api.ObservedFile{Path: a.path, Version: a.version, State: api.FileUpdated, Time: time.Now().UTC().Truncate(time.Second)}
	if err != nil {
		o.State, o.Message = api.FileFailed, short(err)
	}
	return o
}

// record is the line of the ConfigMap that an update leaves. The map has room
// for versions and URLs alone, so that a file can be brought back from it only
// if its name is the URL's.
func (a ask) record(err error) *applied {
	u, bad := url.Parse(a.url)
	if err != nil || bad != nil || a.extract || path.Base(u.Path) != a.path {
		return nil
	}
	return &applied{Version: a.version, URL: a.url}
}

// short is an error's text as far as an annotation has room for it.
func short(err error) string {
	text := err.Error()
	if len(text) > maxMessage {
		text = text[:maxMessage] + "…"
	}
	return text
}
