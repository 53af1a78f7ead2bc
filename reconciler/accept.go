package reconciler

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/plain"
	"hotpatch.dev/hotpatch/reconciler/kube"
	"hotpatch.dev/hotpatch/reconciler/plan"
	"hotpatch.dev/hotpatch/reconciler/render"
)

// wanted is a HotPatch as the newest commit that could be read asks for it.
type wanted struct {
	render.Item
	commit, author string
}

func (t *tracked) namespace() string {
	namespace, _, _ := strings.Cut(t.key, "/")
	return namespace
}

// source is where it came from, as records have it.
func (w *wanted) source() api.Source {
	return api.Source{Commit: w.commit, Author: plain.Text(w.author, maxSubject), Path: w.File}
}

// accepted is a wish that can be acted on: its target and its images were
// found. It stays in force, whole, until a newer wish is accepted.
type accepted struct {
	wanted
	scope    kube.Scope
	revision plan.Revision
	spec     string       // the digest of what Git says
	openings api.Openings // of its windows
}

// tracked is what is remembered of one HotPatch between passes. All of it can
// be read again from Git, the record, the registry and the pods.
type tracked struct {
	key      string
	wanted   *wanted
	broken   error // why the newest commit's object cannot be read
	accepted *accepted
	problem  error // why what is wanted is not accepted
	record   api.HotPatchStatus
	hold     string // what kept pods back when a plan was last made
	brakes   []api.Suspension
	unread   []string // warnings of Suspensions that cannot be read
	waitsFor []string // other HotPatches, when a plan was last made
	claimed  []string // pods, by UID
	settled  bool     // it knows which pods it wants
	yields   bool     // it gives up what it has of them
	leaves   bool     // it is not in Git any more, and takes back what it asked for

	tries tries     // of what failed to be put in force
	rests bool      // another look would say the same
	again time.Time // when to look again though nothing happens; zero: never
	said  result    // after the last look
	ended bool      // finished, after the last look
}

// suspended is a brake: it acts from the commit that asks for it, even if the
// rest of that commit cannot be put in force, and is let go with what can be.
func (t *tracked) suspended() bool {
	return len(t.brakes) > 0 || t.accepted != nil && t.accepted.HotPatch.Spec.Suspend || t.wanted != nil && t.wanted.HotPatch.Spec.Suspend
}

// errWaiting: what is needed is being asked for; a pass follows the answer.
var errWaiting = errors.New("waiting for an answer")

const lookupTimeout = 5 * time.Second

// accept puts the newest wish in force if everything it needs is there, and
// looks again for the target of an old one when asked to recheck.
func (r *Reconciler) accept(ctx context.Context, t *tracked, recheck bool) error {
	t.tries = tries{}
	if t.wanted == nil || !recheck && t.accepted != nil && t.accepted.sameWish(t.wanted) {
		return nil
	}
	scope, err := r.scope(ctx, t)
	if err != nil {
		return err
	}
	containers, err := r.pin(ctx, t)
	if err != nil {
		return err
	}
	t.accepted, t.tries = t.inForce(scope, containers), tries{}
	r.digests.forget(t.key)
	return nil
}

// inForce is the newest wish with what was found for it. What can be read off the
// wish alone is read once.
func (t *tracked) inForce(scope kube.Scope, containers []api.DesiredContainer) *accepted {
	files := wantedFiles(t.wanted)
	next := &accepted{wanted: *t.wanted, scope: scope, revision: plan.Revision{ID: api.Revision(containers, files), Containers: containers, Files: files}}
	if was := t.accepted; was != nil && was.sameWish(t.wanted) {
		next.commit, next.author, next.spec, next.openings = was.commit, was.author, was.spec, was.openings
	} else {
		next.spec, next.openings = t.wanted.HotPatch.Spec.Digest(), t.wanted.HotPatch.Spec.Rollout.Window.Openings()
	}
	return next
}

// sameWish tells whether two commits ask for the same.
func (a *accepted) sameWish(w *wanted) bool {
	return reflect.DeepEqual(a.HotPatch, w.HotPatch) && reflect.DeepEqual(a.Files, w.Files)
}

// scope finds the pods' selector. A target that is not there is looked for
// again after a while, not in every pass.
func (r *Reconciler) scope(ctx context.Context, t *tracked) (kube.Scope, error) {
	w, target := t.wanted, t.wanted.HotPatch.Spec.Target
	key := "target " + w.HotPatch.Key() + " " + target.String()
	due, err := r.retries.hold(key)
	if err != nil {
		t.tries.note(due)
		return kube.Scope{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	scope, err := r.cluster.Scope(ctx, w.HotPatch.Metadata.Namespace, target)
	if missing := errors.Is(err, kube.ErrNoTarget); err != nil {
		t.tries.note(due)
		if err = w.wrong("spec.target", err); missing {
			err = noTarget{err}
		}
	}
	return scope.Keeping(w.HotPatch.Spec.Rollout.Annotations()), r.retries.note(key, err)
}

// pin turns the wish's tags into digests. One that was pinned before, in this
// process or in the record, means the same digest for as long as the HotPatch
// names the same image.
func (r *Reconciler) pin(ctx context.Context, t *tracked) ([]api.DesiredContainer, error) {
	var pinned []api.DesiredContainer
	var errs []error
	inForce := t.accepted != nil && t.accepted.sameWish(t.wanted)
	for i, c := range t.wanted.HotPatch.Spec.Containers {
		if c.Image == "" { // the container's own
			pinned = append(pinned, c.Pinned(""))
			continue
		}
		digest := t.record.Pinned(c)
		if digest == "" && inForce { // and was never planned for, so that no record pins it
			digest = t.accepted.revision.Containers[i].Image
		}
		if digest == "" {
			var err error
			if digest, err = r.digest(ctx, t, c.Image); errors.Is(err, errWaiting) {
				errs = append(errs, err)
			} else if err != nil {
				errs = append(errs, t.wanted.wrong(fmt.Sprintf("spec.containers[%d].image", i), err))
			}
		}
		pinned = append(pinned, c.Pinned(digest))
	}
	return pinned, errors.Join(errs...)
}

// noTarget: the workload that a HotPatch names is not there.
type noTarget struct{ error }

func (e noTarget) Unwrap() error { return e.error }

// digest is what a registry says of an image, or why it does not.
func (r *Reconciler) digest(ctx context.Context, t *tracked, image string) (string, error) {
	digest, due, err := r.digests.get(ctx, t.key, image)
	if err != nil {
		t.tries.note(due)
	}
	return digest, err
}

// wantedFiles are the wish's files by digest. Those of the repository get their
// URL when they are needed: it is not part of what is wanted.
func wantedFiles(w *wanted) []api.DesiredFile {
	var files []api.DesiredFile
	for _, f := range w.HotPatch.Spec.Files {
		file := api.DesiredFile{Path: f.Path, Version: f.Version, SHA256: f.SHA256, URL: f.URL, Extract: f.Extract}
		if content, ok := w.Files[f.Path]; ok {
			file.SHA256, file.Extract = content.SHA256, f.Extract || content.Dir
		}
		files = append(files, file)
	}
	return files
}

// wrong names file, object and field of what is wrong with a wish.
func (w *wanted) wrong(field string, err error) error {
	return &api.Error{File: w.File, Object: api.KindHotPatch + " " + w.HotPatch.Key(), Field: field, Reason: err.Error()}
}
