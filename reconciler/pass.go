package reconciler

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/reconciler/kube"
	"hotpatch.dev/hotpatch/reconciler/plan"
)

// observer sees a cluster; it is *kube.Cluster.
type observer interface {
	Scope(ctx context.Context, namespace string, target api.Target) (kube.Scope, error)
	Watch(ctx context.Context, scopes []kube.Scope)
	Pods(scope kube.Scope) ([]kube.Pod, error)
}

// loop is the state of a leader. Only its passes touch it.
type loop struct {
	*Reconciler
	tracked   map[string]*tracked // by HotPatch
	order     []*tracked          // in which they are looked at
	claims    claims
	contested bool // a pod is wanted by two of them
	givesUp   bool // pods may be to give up to another reconciler, which waits
	surplus   surplus
	reordered bool  // one is in force that was not when they were put in order
	alarm     alarm // for the next plan that is due
	known     *rendered
	life      context.Context // of the leadership: watches and jobs end with it
}

// pass brings the newest commit and the pods together once. It waits for
// nobody: what takes time is started, and its end brings the next pass.
func (l *loop) pass(ctx context.Context, why cause) {
	known := l.known
	if !l.wish(ctx) {
		return
	}
	moved := l.moved.take()
	l.wake(moved, time.Now())
	all := why&resync != 0 || l.known != known || moved[kube.Scope{}] || l.reordered
	if !l.round(ctx, why, all) {
		l.round(ctx, why, true)
	}
}

// round looks at those that do not rest, or at all. It returns false, and has done
// nothing yet, where whose the pods are is for all of them to say.
func (l *loop) round(ctx context.Context, why cause, all bool) bool {
	if all {
		l.wakeAll()
	}
	news := l.acceptAll(ctx, why)
	if news || all {
		l.cluster.Watch(l.life, l.scopes())
	}
	known := l.contested
	l.contested = false
	seen, shifted := l.observeAll()
	if !all && (l.contested || shifted && known) {
		return false // who rests for want of pods may have them now, or want them of another
	}
	l.contested = l.contested || known
	if all || l.givesUp {
		l.giveUp()
	}
	l.lookAt(seen, all)
	return true
}

// wish takes over what the newest commit asks for, if there is a newer one. It
// returns false before there is any.
func (l *loop) wish(ctx context.Context) bool {
	newest := l.follower.get()
	if newest == nil || newest == l.known {
		return newest != nil
	}
	l.known = newest
	wishes := map[string]*wanted{}
	for _, item := range newest.Items {
		wishes[item.HotPatch.Key()] = &wanted{item, newest.snapshot.Commit, newest.snapshot.Author}
	}
	for key, w := range wishes {
		t := l.track(key)
		t.wanted, t.broken, t.leaves = w, nil, false
	}
	for key, err := range newest.Broken {
		l.track(key).rely(err)
	}
	for key, t := range l.tracked {
		if wishes[key] == nil && newest.Broken[key] == nil {
			l.missing(t)
		}
	}
	l.brake()
	l.publishFiles(ctx)
	return true
}

func (l *loop) track(key string) *tracked {
	if l.tracked[key] == nil {
		l.tracked[key] = &tracked{key: key}
	}
	return l.tracked[key]
}

// missing ends a HotPatch that is not in Git any more, unless it only cannot be
// seen because something around it does not render.
func (l *loop) missing(t *tracked) {
	gone := len(l.known.Failed) == 0 || t.wanted != nil && !slices.Contains(l.known.Failed, t.wanted.Root)
	switch {
	case t.leaves:
	case !gone:
		t.rely(errors.Join(l.known.Errors...))
	case t.record.Restore != nil && len(t.record.Containers) > 0 && !l.known.succeeds(t):
		t.leave(l.known.snapshot.Commit, l.known.snapshot.Author)
	default:
		l.drop(t)
	}
}

// drop ends a HotPatch.
func (l *loop) drop(t *tracked) {
	delete(l.tracked, t.key)
	l.surplus.add(t.namespace())
	l.analyses.forget(t.key)
	l.admission.forget(t.key)
	l.metrics.forget(t.record.Metadata.Namespace, t.record.Metadata.Name)
}

// rely falls back on what is in force, if anything is, and on nothing newer: a
// wish that Git has replaced by something unreadable is not to come true later.
func (t *tracked) rely(broken error) {
	t.broken, t.wanted = broken, nil
	if t.accepted != nil {
		t.wanted = &t.accepted.wanted
	}
}

// acceptAll puts in force what can be, and tells whether anything was.
func (l *loop) acceptAll(ctx context.Context, why cause) (news bool) {
	defer l.metrics.stage("accept")()
	for _, t := range l.order {
		if t.rests {
			continue
		}
		before := t.accepted
		t.problem = l.accept(ctx, t, why&resync != 0)
		news = news || t.accepted != before
	}
	return news
}

// inOrder lists HotPatches so that those in force come before new ones, which
// therefore cannot take pods from them. Those that leave have what is left over.
func (l *loop) inOrder() []*tracked {
	return slices.SortedFunc(maps.Values(l.tracked), func(a, b *tracked) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.key, b.key))
	})
}

func (t *tracked) rank() int {
	switch {
	case t.leaves:
		return 2
	case t.record.Revision != "":
		return 0
	}
	return 1
}

func (l *loop) scopes() []kube.Scope {
	scopes := map[kube.Scope]bool{}
	for _, t := range l.tracked {
		if t.accepted != nil {
			scopes[t.accepted.scope] = true
		}
	}
	return slices.Collect(maps.Keys(scopes))
}

// observe lists the pods of a HotPatch as they are, or will be when what is
// under way has ended, and checks that they can be its own.
func (l *loop) observe(t *tracked, underway map[string]string) ([]kube.Pod, error) {
	l.claims.release(t)
	if t.accepted == nil {
		return nil, nil
	}
	defer l.metrics.stage("observe")()
	pods, err := l.cluster.Pods(t.accepted.scope)
	if err != nil {
		t.tries.note(time.Time{}) // the watch tries on, and tells of no failure
		return nil, notListed(err)
	}
	if t.leaves {
		pods = slices.DeleteFunc(l.claims.free(pods), foreign(l.options.Namespace))
	}
	if _, other := l.claims.taken(pods); other != "" {
		l.contested = true
	}
	if err := cmp.Or(l.claims.check(&t.accepted.wanted, pods), t.accepted.unheld(pods, l.options.Namespace)); err != nil {
		return nil, err
	}
	l.claims.take(t.key, pods)
	t.claimed = uids(pods)
	if v := t.record.Verdict; v != nil && (v.Spec != t.accepted.spec || v.Revision != t.accepted.revision.ID) {
		l.executor.forgive(pods, t.accepted.revision.ID)
	}
	l.executor.overlay(pods, underway, t.accepted.revision.ID, stableID(t.record))
	return pods, nil
}

// notListed makes a first list that is under way a matter of waiting.
func notListed(err error) error {
	if err == kube.ErrNotListed {
		return errWaiting
	}
	return err
}

func (l *loop) plan(t *tracked, pods []kube.Pod) *plan.Plan {
	defer l.metrics.stage("plan")()
	t.waitsFor = l.behind(t)
	promotion, _ := t.accepted.HotPatch.Promotion() // one that is wrong was not accepted
	input := plan.Input{
		HotPatch:    t.accepted.HotPatch.Metadata.Name,
		Target:      t.accepted.HotPatch.Spec.Target.String(),
		Revision:    t.accepted.revision,
		Rollout:     t.accepted.HotPatch.Spec.Rollout,
		Openings:    t.accepted.openings,
		Suspended:   t.suspended(),
		SuspendedBy: inWords(t.brakes),
		WaitsFor:    t.waitsFor,
		Deferred:    t.record.DeferredSince(t.accepted.revision.ID),
		Progress:    t.record.Progress,
		Recorded:    l.recorder.holds(t.key).Progress,
		Promotion:   promotion,
		Spec:        t.accepted.spec,
		Verdict:     t.record.Verdict,
		Gates:       l.analyses.judged(t),
		Now:         time.Now(),
	}
	input.Unjudged, input.Refusal = l.admission.verdict(t)
	if s := t.record.Stable; s != nil {
		input.Stable = &plan.Revision{ID: s.Revision, Containers: s.Containers, Files: s.Files}
	}
	for _, pod := range pods {
		input.Pods = append(input.Pods, pod.Pod)
	}
	made := plan.Make(input)
	return &made
}

func (l *loop) jobContext(t *tracked) context.Context {
	return logging.With(l.life, "hotpatch", t.key)
}

func stableID(s api.HotPatchStatus) string {
	if s.Stable == nil {
		return ""
	}
	return s.Stable.Revision
}
