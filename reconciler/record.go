package reconciler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/gitsource"
	"hotpatch.dev/hotpatch/internal/logging"
)

// statusBranch is where results go; it is *gitsource.Writer.
type statusBranch interface {
	Read(ctx context.Context, dir string) (map[string][]byte, error)
	Commit(ctx context.Context, change gitsource.Change) (string, error)
}

// Limits of the recorder.
const (
	commitTimeout = time.Minute
	flushTimeout  = 5 * time.Second
	// progressPace is how often progress is committed. Ends are at once.
	progressPace = time.Second
)

// result is what there is to say about one HotPatch; subject says it in words.
type result struct {
	status  api.HotPatchStatus
	subject string
}

// recorder commits results. Passes hand them over and go on; while a commit is
// under way, or the Git server is down, only the newest ones wait.
type recorder struct {
	branch  statusBranch
	cluster string
	metrics *metrics
	wake    *trigger

	mu      sync.Mutex
	latest  map[string]result             // by HotPatch, all there are
	written map[string]api.HotPatchStatus // what the branch holds
	last    time.Time                     // of the last commit
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

// submit hands over the results of a pass: those of every HotPatch there is.
func (r *recorder) submit(results map[string]result) {
	r.mu.Lock()
	r.latest = results
	r.mu.Unlock()
	r.wake.fire(workEnded)
}

// record commits what is submitted until ctx ends, and then once more.
func (r *recorder) record(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		if err := r.commit(ctx, commitTimeout); err != nil {
			logging.From(ctx).WithError(err).Warn("results are not committed yet; they are kept and tried again")
			failures++
		} else {
			failures = 0
		}
		r.rest(ctx, failures)
		r.gather(ctx)
	}
	if err := r.commit(context.WithoutCancel(ctx), flushTimeout); err != nil {
		logging.From(ctx).WithError(err).Warn("the last results are not committed; the next leader will observe them again")
	}
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

// gather waits while there is only progress to tell and some was told a moment
// ago: a log of every pod of every rollout would hide what people look for.
func (r *recorder) gather(ctx context.Context) {
	r.mu.Lock()
	pause := time.NewTimer(time.Until(r.last.Add(progressPace)))
	r.mu.Unlock()
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

// ended tells whether something is to be told that is more than progress.
func (r *recorder) ended() bool {
	r.mu.Lock()
	latest, written := r.latest, r.written // replaced, never changed
	r.mu.Unlock()
	for key, now := range latest {
		underway := now.status.Phase == api.PhaseProgressing || now.status.Phase == api.PhasePending
		if before, ok := written[key]; !underway && !(ok && sameMeaning(before, now.status)) {
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
	r.mu.Lock()
	latest, written := r.latest, r.written
	r.mu.Unlock()
	if latest == nil {
		return nil
	}
	change, next, err := r.change(written, latest)
	if err != nil || len(change.Files) == 0 {
		return err
	}
	defer r.metrics.stage("record")()
	commit, err := r.branch.Commit(ctx, change)
	if errors.Is(err, gitsource.ErrNothingToCommit) {
		err = nil
	}
	r.metrics.commits.WithLabelValues(outcome(err, "pushed")).Inc()
	if err != nil {
		return err
	}
	logging.From(ctx).WithField("commit", commit).Infof("recorded: %s", change.Subject)
	r.mu.Lock()
	r.written, r.last = next, time.Now()
	r.mu.Unlock()
	return nil
}

// change is the commit from what is written to the latest results, and what is
// written after it.
func (r *recorder) change(written map[string]api.HotPatchStatus, latest map[string]result) (gitsource.Change, map[string]api.HotPatchStatus, error) {
	change := gitsource.Change{Files: map[string][]byte{}}
	next := maps.Clone(written)
	var subjects []string
	var changed []api.HotPatchStatus
	for _, key := range slices.Sorted(maps.Keys(latest)) {
		now := latest[key]
		if before, ok := written[key]; ok && sameMeaning(before, now.status) {
			continue
		}
		content, err := api.EncodeStatus(now.status)
		if err != nil {
			return change, nil, err
		}
		change.Files[r.file(key)] = content
		next[key] = now.status
		subjects = append(subjects, now.subject)
		changed = append(changed, now.status)
	}
	for _, key := range slices.Sorted(maps.Keys(written)) {
		if _, ok := latest[key]; !ok {
			change.Files[r.file(key)] = nil
			delete(next, key)
			subjects = append(subjects, removed(written[key]))
			changed = append(changed, written[key])
		}
	}
	change.Restore = func() (map[string][]byte, error) { return r.encodeAll(next) }
	change.Subject, change.Body = words(subjects)
	change.Trailers = r.trailers(changed)
	return change, next, nil
}

// encodeAll are the files of all records.
func (r *recorder) encodeAll(records map[string]api.HotPatchStatus) (map[string][]byte, error) {
	files := map[string][]byte{}
	for key, record := range records {
		content, err := api.EncodeStatus(record)
		if err != nil {
			return nil, err
		}
		files[r.file(key)] = content
	}
	return files, nil
}

func removed(s api.HotPatchStatus) string {
	return fmt.Sprintf("%s: removed from Git, its %d pods stay as they are", s.Metadata.Name, s.Counts.Total)
}

// words are the commit's subject and body.
func words(subjects []string) (subject, body string) {
	if all := strings.Join(subjects, "; "); len(all) <= maxSubject || len(subjects) == 1 {
		return all, ""
	}
	for _, s := range subjects {
		body += s + "\n"
	}
	return fmt.Sprintf("%d HotPatches changed", len(subjects)), body
}

func (r *recorder) trailers(changed []api.HotPatchStatus) [][2]string {
	var trailers [][2]string
	add := func(key, value string) {
		if t := [2]string{key, value}; value != "" && !slices.Contains(trailers, t) {
			trailers = append(trailers, t)
		}
	}
	for _, s := range changed {
		add("Source-Commit", s.Source.Commit)
	}
	for _, s := range changed {
		add("Revision", s.Revision)
	}
	add("Cluster", r.cluster)
	return trailers
}

// sameMeaning compares what people would act on: that another commit asks for
// the same is no news.
func sameMeaning(a, b api.HotPatchStatus) bool {
	a.Source.Commit, a.Since = b.Source.Commit, b.Since
	x, errX := api.EncodeStatus(a)
	y, errY := api.EncodeStatus(b)
	return errX == nil && errY == nil && string(x) == string(y)
}
