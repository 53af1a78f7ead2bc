package reconciler

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"hotpatch.dev/hotpatch/gitsource"
	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/reconciler/render"
)

// source is a branch of a repository; it is *gitsource.Source.
type source interface {
	Newer(ctx context.Context, known string) (*gitsource.Snapshot, error)
}

// pollTimeout bounds one poll with its fetch, beside the bounds that those have.
const pollTimeout = gitsource.MaxTransfer + time.Minute

// rendered is what one commit asks for.
type rendered struct {
	render.Result
	snapshot *gitsource.Snapshot
	refused  string // why the branch's tip, which is newer, does not count; "": this is it
}

// follower keeps the newest commit at hand, rendered. It runs beside the loop:
// a Git server that hangs holds up nothing that is already known.
type follower struct {
	source   source
	schedule gitsource.Schedule
	path     string
	metrics  *metrics
	renderer render.Renderer
	poll     *trigger
	found    func() // called when what is asked for has changed
	polled   func() // called after each poll that came back

	mu     sync.Mutex
	newest *rendered
	failed error // of the last poll
}

// get is the newest commit, nil before the first.
func (f *follower) get() *rendered {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.newest
}

// follow polls at once, by the schedule, when asked to, and again after a
// failure, until ctx ends.
func (f *follower) follow(ctx context.Context) {
	failures := 0
	for {
		err := f.once(ctx)
		if ctx.Err() != nil {
			return
		}
		f.setFailed(err)
		if err != nil {
			logging.From(ctx).WithError(err).Warn("Git cannot be read; what was read before stays in force")
			failures++
		} else {
			failures = 0
		}
		if !f.wait(ctx, failures) {
			return
		}
	}
}

func (f *follower) setFailed(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed = err
}

// holdup is why Git could not be read last, nil if it could.
func (f *follower) holdup() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

// wait returns true when it is time to poll, false when ctx has ended.
func (f *follower) wait(ctx context.Context, failures int) bool {
	pause := time.Until(f.schedule.Next(time.Now()))
	if failures > 0 {
		pause = min(pause, backoff(failures-1))
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-f.poll.wake:
		f.poll.take()
	case <-timer.C:
	}
	return true
}

// once polls, and renders if the tip has moved.
func (f *follower) once(ctx context.Context) error {
	result, err := f.look(ctx)
	f.metrics.polls.WithLabelValues(outcome(err, result)).Inc()
	if err == nil {
		f.polled()
	}
	return err
}

func (f *follower) look(ctx context.Context) (string, error) {
	known := f.get()
	snapshot, err := f.newer(ctx, known)
	var unverified *gitsource.UnverifiedError
	switch {
	case known != nil && errors.As(err, &unverified):
		f.refuse(ctx, known, unverified)
		return "refused", nil
	case err != nil:
		return "", err
	case snapshot == nil && known.refused == "" && !known.Unfinished:
		return "unchanged", nil
	case snapshot == nil:
		snapshot = known.snapshot // what was refused was taken back, or took too long
	}
	next := f.render(ctx, snapshot)
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if snapshot.Damaged() {
		f.renderer = render.Renderer{} // which remembers what it could not read
		return "", fmt.Errorf("commit %.10s could not be read from the disk as it was written there, and is fetched anew", snapshot.Commit)
	}
	f.take(next, known)
	return "changed", nil
}

func (f *follower) take(next, known *rendered) {
	f.mu.Lock()
	f.newest = next
	f.mu.Unlock()
	if known == nil || !next.sameWishes(known) {
		f.found()
	}
}

// refuse has every object of a commit that does not count be one that cannot be
// used: what was read before stays in force, and everybody is told why.
func (f *follower) refuse(ctx context.Context, known *rendered, why *gitsource.UnverifiedError) {
	if known.refused == why.Error() {
		return
	}
	logging.From(ctx).WithError(why).Warn("the newest commit is not followed; what was read before stays in force")
	next := &rendered{known.Result, known.snapshot, why.Error()}
	next.Items, next.Broken = nil, map[string]error{}
	for _, item := range known.Items {
		next.Broken[item.HotPatch.Key()] = why
	}
	for key := range known.Broken {
		next.Broken[key] = why
	}
	f.take(next, known)
}

func (f *follower) newer(ctx context.Context, known *rendered) (*gitsource.Snapshot, error) {
	defer f.metrics.stage("poll")()
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	commit := ""
	if known != nil {
		commit = known.snapshot.Commit
	}
	return f.source.Newer(ctx, commit)
}

func (f *follower) render(ctx context.Context, snapshot *gitsource.Snapshot) *rendered {
	defer f.metrics.stage("render")()
	next := &rendered{f.renderer.Render(ctx, tree{snapshot}, f.path), snapshot, ""}
	if ctx.Err() != nil {
		return next // which nobody looks at
	}
	log := logging.From(ctx).WithField("commit", snapshot.Commit)
	log.Infof("%q by %s asks for %d HotPatches", snapshot.Subject, snapshot.Author, len(next.Items))
	for _, err := range next.Errors {
		log.WithError(err).Warn("an object is not usable; its last good version stays in force")
	}
	return next
}

// sameWishes tells a commit that changes nothing here from one that does. On
// one branch for both, each of our own commits is such a one.
func (r *rendered) sameWishes(other *rendered) bool {
	return reflect.DeepEqual(r.Result, other.Result)
}
