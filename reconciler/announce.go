package reconciler

import (
	"context"
	"fmt"
	"sync"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/reconciler/forge"
)

// statuses are what a forge shows beside commits; it is *forge.Forge.
type statuses interface {
	Last(ctx context.Context, commit, name string) (forge.Status, error)
	Set(ctx context.Context, commit string, s forge.Status) error
}

// announcePace is how long a commit's progress waits for more of it: forges count
// statuses, and GitHub takes a thousand of a commit. Ends do not wait.
const announcePace = 30 * time.Second

// announcer has a forge show what became of the newest commit in this cluster. It
// holds up nobody, and what it could not say is said when it can.
type announcer struct {
	forge   statuses
	name    string // hotpatch/<cluster>
	results func() (latest map[string]result, written map[string]api.HotPatchStatus)
	metrics *metrics
	wake    *trigger

	mu     sync.Mutex
	commit string
	wanted int               // HotPatches there
	latest map[string]result // of a pass over that commit
	wrong  []error           // with what the commit holds
}

func (r *Reconciler) newAnnouncer() (*announcer, error) {
	o := r.options
	if o.CommitStatus.Kind == "" {
		return nil, nil
	}
	to, err := forge.New(o.CommitStatus, o.Repo, o.Auth)
	return &announcer{forge: to, name: "hotpatch/" + o.Cluster, results: r.recorder.compared, metrics: r.metrics, wake: newTrigger()}, err
}

// passed tells that there is news of a commit. While its successor is refused there is
// none: everything is in trouble for what that one did.
func (a *announcer) passed(newest *rendered) {
	if a == nil || newest.refused != "" {
		return
	}
	latest, _ := a.results()
	a.mu.Lock()
	a.commit, a.wanted, a.latest, a.wrong = newest.snapshot.Commit, len(newest.Items)+len(newest.Broken), latest, newest.Errors
	a.mu.Unlock()
	a.wake.fire(workEnded)
}

// display is what a forge shows beside a commit, and since when.
type display struct {
	commit string
	status forge.Status
	at     time.Time
}

// announce keeps the forge up to date until ctx ends.
func (a *announcer) announce(ctx context.Context) {
	if a == nil {
		return
	}
	var last display
	news, failures := (<-chan struct{})(a.wake.wake), 0
	for wait := forever; a.rest(ctx, news, wait); {
		var err error
		if last, wait, err = a.tell(ctx, last, time.Now()); err == nil {
			news, failures = a.wake.wake, 0
			continue
		}
		if ctx.Err() == nil {
			logging.From(ctx).WithError(err).Warn("the forge does not show yet what became of the commit; it is tried again")
		}
		news, wait = nil, backoff(failures) // more of them would be told as late
		failures++
	}
}

// forever is longer than anybody waits.
const forever = 1000 * time.Hour

// rest waits for news, or for some time. It returns false when ctx has ended.
func (a *announcer) rest(ctx context.Context, news <-chan struct{}, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-news:
	case <-timer.C:
	}
	return true
}

// tell has the forge show what it does not show yet. It returns how long more of
// it has to wait.
func (a *announcer) tell(ctx context.Context, last display, now time.Time) (display, time.Duration, error) {
	a.mu.Lock()
	commit, wanted, latest, wrong := a.commit, a.wanted, a.latest, a.wrong
	a.mu.Unlock()
	if commit == "" {
		return last, forever, nil
	}
	if last.commit != commit {
		a.replace(ctx, last, commit)
		is, err := a.forge.Last(ctx, commit, a.name)
		if err != nil {
			return display{}, forever, err
		}
		last = display{commit: commit, status: is}
	}
	state, words := fate(latest, wanted, wrong)
	is := forge.Status{State: state, Name: a.name, Words: shorten(words, forge.MaxWords)}
	switch {
	case is == last.status:
		return last, forever, nil
	case is.State == last.status.State && now.Sub(last.at) < announcePace:
		return last, announcePace - now.Sub(last.at), nil
	}
	if err := a.set(ctx, commit, is); err != nil {
		return last, forever, err
	}
	return display{commit, is, now}, forever, nil
}

// replace ends the status of a commit that was still on its way when the next came.
// It is not tried again: after a push by force there is no such commit any more.
func (a *announcer) replace(ctx context.Context, last display, by string) {
	if last.status.State != forge.Pending {
		return
	}
	err := a.set(ctx, last.commit, forge.Status{State: forge.Replaced, Name: a.name, Words: fmt.Sprintf("%.12s came before it was everywhere", by)})
	if err != nil {
		logging.From(ctx).WithError(err).Info("the forge goes on showing that a commit is on its way that another has replaced")
	}
}

func (a *announcer) set(ctx context.Context, commit string, s forge.Status) error {
	err := a.forge.Set(ctx, commit, s)
	a.metrics.shown.WithLabelValues(outcome(err, "shown")).Inc()
	return err
}
