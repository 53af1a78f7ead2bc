package reconciler

import (
	"context"
	"errors"
	"maps"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/gitsource"
	"hotpatch.dev/hotpatch/internal/logging"
)

// statusBranch is where results go; it is *gitsource.Writer.
type statusBranch interface {
	Read(ctx context.Context, dir string) (map[string][]byte, error)
	Commit(ctx context.Context, change gitsource.Change) (string, error)
	Moved(ctx context.Context) (bool, error)
}

// Limits of the recorder.
const (
	commitTimeout = time.Minute
	flushTimeout  = 5 * time.Second
	// progressPace is how long progress waits for more of it. Ends do not wait.
	progressPace = time.Second
	// checkPause is how long after a commit of ours nobody looks where the branch
	// is: webhooks tell of our own pushes, too.
	checkPause = 5 * time.Second
)

// result is what there is to say about one HotPatch; subject says it in words.
type result struct {
	status  api.HotPatchStatus
	subject string
	awaited bool // something else is asked for, and being looked up
}

// recorder commits results. Passes hand them over and go on; while a commit is
// under way, or the Git server is down, only the newest ones wait.
type recorder struct {
	branch  statusBranch
	cluster string
	metrics *metrics
	wake    *trigger
	// template words commits; nil: the built-in message does.
	template *messageTemplate
	stepped  func()      // called when Git holds that a rollout has come further
	polled   atomic.Bool // the source was, since the branch was looked at

	mu      sync.Mutex
	latest  map[string]result             // by HotPatch, all there are
	written map[string]api.HotPatchStatus // what the branch holds
	last    time.Time                     // of the last commit
	waiting error                         // why results are not committed yet
}

func (r *recorder) dir() string { return path.Join("clusters", r.cluster) }

func (r *recorder) file(hotpatch string) string { return path.Join(r.dir(), hotpatch+".yaml") }

// load reads what the branch holds for this cluster. It tries until it has it,
// or ctx ends: without the record, finished work would be taken for new.
func (r *recorder) load(ctx context.Context) (map[string]api.HotPatchStatus, error) {
	for failures := 0; ; failures++ {
		files, err := r.branch.Read(ctx, r.dir())
		if err == nil {
			return r.decode(ctx, files), nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		logging.From(ctx).WithError(err).Warn("the status branch cannot be read; waiting for it")
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(backoff(failures)):
		}
	}
}

func (r *recorder) decode(ctx context.Context, files map[string][]byte) map[string]api.HotPatchStatus {
	records := map[string]api.HotPatchStatus{}
	for name, content := range files {
		status, err := api.DecodeStatus(name, content)
		if err != nil {
			logging.From(ctx).WithError(err).Warn("a record is not readable and will be written anew")
			continue
		}
		records[status.Metadata.Namespace+"/"+status.Metadata.Name] = status
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written = maps.Clone(records)
	return records
}

// submit hands over the results of a pass: those of all HotPatches there are, or of
// those that it looked at.
func (r *recorder) submit(results map[string]result, all bool) {
	if !all && len(results) == 0 {
		return
	}
	r.mu.Lock()
	if all {
		r.latest = results
	} else {
		maps.Copy(r.latest, results)
	}
	r.mu.Unlock()
	r.wake.fire(workEnded)
}

// compared are the latest results, and what is written of them.
func (r *recorder) compared() (latest map[string]result, written map[string]api.HotPatchStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.latest), r.written // which is replaced, never changed
}

// record commits what is submitted until ctx ends, and then once more.
func (r *recorder) record(ctx context.Context) {
	failures := 0
	for {
		r.rest(ctx, failures)
		r.gather(ctx)
		if ctx.Err() != nil {
			break
		}
		err := r.commit(ctx, commitTimeout)
		if err == nil {
			err = r.check(ctx)
		}
		r.setWaiting(err)
		if err != nil {
			logging.From(ctx).WithError(err).Warn("results are not committed yet; they are kept and tried again")
			failures++
		} else {
			failures = 0
		}
	}
	if err := r.commit(context.WithoutCancel(ctx), flushTimeout); err != nil {
		logging.From(ctx).WithError(err).Warn("the last results are not committed; the next leader will observe them again")
	}
}

// check reads the branch again if it was moved by somebody else, as often as the
// source is polled: what others took away or changed is then written anew.
func (r *recorder) check(ctx context.Context) error {
	r.mu.Lock()
	ours := time.Since(r.last) < checkPause // nobody need ask where it is
	r.mu.Unlock()
	if ours || !r.polled.Swap(false) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	moved, err := r.branch.Moved(ctx)
	if err != nil || !moved {
		return err
	}
	files, err := r.branch.Read(ctx, r.dir())
	if err == nil {
		logging.From(ctx).Info("somebody else has moved the status branch; it is read again")
		r.decode(ctx, files)
		r.wake.fire(resync)
	}
	return err
}

// sourcePolled says that the source was polled, so that the status branch is
// looked at, too.
func (r *recorder) sourcePolled() {
	r.polled.Store(true)
	r.wake.fire(resync)
}

// rest waits for new results or, after a failure, for its time to pass.
func (r *recorder) rest(ctx context.Context, failures int) {
	if failures == 0 {
		select {
		case <-ctx.Done():
		case <-r.wake.wake:
		}
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(backoff(failures - 1)):
	}
}

// gather waits while there is only progress to tell: a log of every pod of every
// rollout would hide what people look for, and the commits of a short one would
// only hold it up.
func (r *recorder) gather(ctx context.Context) {
	pause := time.NewTimer(progressPace)
	defer pause.Stop()
	for !r.ended() {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
			return
		case <-r.wake.wake:
		}
	}
}

// ended tells whether something is to be told that is more than progress. A new
// step is: pods wait for Git to hold it. What is new of single pods alone is not:
// agents look at one after the other.
func (r *recorder) ended() bool {
	latest, written := r.compared()
	for key, now := range latest {
		underway := now.status.Phase == api.PhaseProgressing || now.status.Phase == api.PhasePending
		before, ok := written[key]
		if !now.status.Progress.Same(before.Progress) || !underway && !(ok && sameMeaning(withoutRows(before), withoutRows(now.status))) {
			return true
		}
	}
	for key := range written {
		if _, ok := latest[key]; !ok {
			return true
		}
	}
	return false
}

// commit writes everything whose meaning differs from what the branch holds.
func (r *recorder) commit(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	latest, written := r.compared()
	if latest == nil {
		return nil
	}
	change, next, err := r.change(ctx, written, latest)
	if err != nil || len(change.Files) == 0 {
		return err
	}
	defer r.metrics.stage("record")()
	commit, err := r.branch.Commit(ctx, change)
	if errors.Is(err, gitsource.ErrNothingToCommit) {
		err = nil
	}
	r.metrics.commits.WithLabelValues(committed(err)).Inc()
	if err != nil {
		return err
	}
	logging.From(ctx).WithField("commit", commit).Infof("recorded: %s", change.Subject)
	r.mu.Lock()
	r.written, r.last = next, time.Now()
	r.mu.Unlock()
	if stepped(written, next) {
		r.stepped()
	}
	return nil
}

func (r *recorder) setWaiting(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = err
}

// holdup is why results are not committed yet, nil if they are.
func (r *recorder) holdup() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.waiting
}

func stepped(before, after map[string]api.HotPatchStatus) bool {
	for key, now := range after {
		if was := before[key]; !now.Progress.Same(was.Progress) || backOnOwn(now) && !backOnOwn(was) {
			return true
		}
	}
	return false
}

// holds is what Git holds of a HotPatch. A crash loses what it does not, so that
// nothing may be done yet that takes more for granted.
func (r *recorder) holds(key string) api.HotPatchStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.written[key]
}
