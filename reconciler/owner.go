package reconciler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/reconciler/kube"
	"hotpatch.dev/hotpatch/reconciler/plan"
)

// Reconcilers of several sources work in one cluster, and each pod follows one of them:
// the one that told it something first, which its annotation names. It is written with
// what the pod is told first, if nobody was faster, and taken away again from pods that
// nothing in Git asks for any more.

// giveUpTimeout bounds a look at all pods of a cluster, page by page.
const giveUpTimeout = 2 * time.Minute

// heldError is that a pod follows another reconciler, the one of that namespace.
type heldError struct {
	error
	by string
}

func (e heldError) Unwrap() error { return e.error }

// owner is this reconciler, as pods have it that follow a HotPatch.
func (o Options) owner(hotpatch string) api.Owner {
	return api.Owner{Namespace: o.Namespace, HotPatch: hotpatch, Cluster: o.Cluster, Repo: o.Repo}
}

// foreign tells of pods whether they follow another reconciler than that of a namespace.
func foreign(namespace string) func(kube.Pod) bool {
	return func(p kube.Pod) bool { return !p.Gone && p.Owner.Namespace != "" && p.Owner.Namespace != namespace }
}

// unheld refuses pods of which another reconciler holds one.
func (w *wanted) unheld(pods []kube.Pod, namespace string) error {
	i := slices.IndexFunc(pods, foreign(namespace))
	if i < 0 {
		return nil
	}
	pod, by := pods[i], pods[i].Owner
	return heldError{w.wrong("spec.target", fmt.Errorf("pod %s is held by another reconciler: it follows HotPatch %s/%s of %s, cluster %s, in namespace %s; narrow one of the two targets. If that reconciler is gone, remove the pod's annotation %s",
		pod.Name, pod.Ref.Namespace, by.HotPatch, by.Repo, by.Cluster, by.Namespace, api.OwnerAnnotation)), by.Namespace}
}

// surplus are the namespaces where pods may be to give up; "" stands for all.
type surplus struct {
	mu         sync.Mutex
	namespaces map[string]bool
}

func (s *surplus) add(namespaces ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.namespaces == nil {
		s.namespaces = map[string]bool{}
	}
	for _, namespace := range namespaces {
		s.namespaces[namespace] = true
	}
}

// take empties it.
func (s *surplus) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := slices.Sorted(maps.Keys(s.namespaces))
	s.namespaces = nil
	if len(taken) > 0 && taken[0] == "" {
		return taken[:1]
	}
	return taken
}

func (s *surplus) empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.namespaces) == 0
}

// settle notes whether a HotPatch knows which pods it wants, after a look at them, be
// they others than before or not. Two reconcilers may each have told some pods that
// both want: who comes later in the alphabet gives its own up.
func (l *loop) settle(t *tracked, others bool, err error) {
	var held heldError
	yields := errors.As(err, &held) && held.by < l.options.Namespace
	settled := yields || err == nil && t.accepted != nil
	news := !t.settled || yields != t.yields
	if settled && (others || news) {
		l.surplus.add(t.namespace())
		l.givesUp = l.givesUp || news // pods that come and go can wait for the next round of all
	}
	t.settled, t.yields = settled, yields
}

// giveUp has pods follow nobody that no HotPatch wants any more. They stay as they are.
// One that is being told something yet would follow us again: its end is waited for.
func (l *loop) giveUp() {
	if l.givesUp = l.tellsOthers(); l.givesUp || l.surplus.empty() {
		return
	}
	wanted := l.wants()
	l.jobs.start(l.life, "pods that are held", "", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, giveUpTimeout)
		defer cancel()
		namespaces := l.surplus.take()
		var errs []error
		for _, namespace := range namespaces {
			errs = append(errs, l.release(ctx, namespace, wanted))
		}
		err := errors.Join(errs...)
		if err != nil {
			l.surplus.add(namespaces...)
			logging.From(ctx).WithError(err).Warn("not all pods that nothing asks for any more are given up yet")
		}
		return err
	})
}

// tellsOthers tells whether a pod is being told something that nobody claims any more.
func (l *loop) tellsOthers() bool {
	for uid, wish := range l.jobs.underway() {
		kind, _, _ := strings.Cut(wish, " ")
		if l.claims[uid] == "" && slices.Contains([]plan.Kind{plan.Prepare, plan.Apply}, plan.Kind(kind)) {
			return true
		}
	}
	return false
}

// release gives up pods of a namespace, those that another look would give up, too.
func (l *loop) release(ctx context.Context, namespace string, wanted func(kube.Pod) bool) error {
	pods, err := l.held(ctx, namespace, l.options.Namespace)
	errs := []error{err}
	for _, pod := range pods {
		if wanted(pod) {
			continue
		}
		logging.From(ctx).Infof("pod %s/%s is given up: no HotPatch asks for it any more", pod.Ref.Namespace, pod.Name)
		errs = append(errs, l.executor.pods.Annotate(ctx, pod.Ref, map[string]*string{api.OwnerAnnotation: nil}))
	}
	return errors.Join(errs...)
}

// wants tells of pods whether some HotPatch wants them, or may: while one does not know
// yet, or something in Git cannot be read, what it had is kept for it.
func (l *loop) wants() func(kube.Pod) bool {
	claims, tracked, unread := maps.Clone(l.claims), map[string]bool{}, len(l.known.Failed) > 0
	for key, t := range l.tracked {
		tracked[key] = !t.settled
	}
	return func(pod kube.Pod) bool {
		unsettled, known := tracked[pod.Ref.Namespace+"/"+pod.Owner.HotPatch]
		return claims[pod.UID] != "" || unsettled || !known && unread
	}
}
