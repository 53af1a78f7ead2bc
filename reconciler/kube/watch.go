package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// ErrNotListed says that the API server has not yet answered the first list of
// a scope. If it refused, the error says why.
var ErrNotListed = errors.New("the pods have not been listed yet")

// pods holds one informer per scope in use.
type pods struct {
	client  kubernetes.Interface
	owners  *owners
	changed func(Scope)

	mu      sync.Mutex
	watches map[Scope]*watch
}

// watch is one running informer.
type watch struct {
	scope    Scope
	life     context.Context
	informer cache.SharedIndexInformer
	stop     context.CancelFunc
	failure  *lastError
	written  map[string]*corev1.Pod // by name, newer than what the informer has seen
}

func newPods(client kubernetes.Interface, owners *owners, changed func(Scope)) *pods {
	return &pods{
		client:  client,
		owners:  owners,
		changed: changed,
		watches: map[Scope]*watch{},
	}
}

// Watch starts to watch the scopes that are new and stops to watch the others.
// The watches end with ctx.
func (c *Cluster) Watch(ctx context.Context, scopes []Scope) {
	c.pods.mu.Lock()
	defer c.pods.mu.Unlock()
	wanted := map[Scope]bool{}
	for _, scope := range scopes {
		wanted[scope] = true
	}
	for scope, w := range c.pods.watches {
		if !wanted[scope] {
			w.stop()
			delete(c.pods.watches, scope)
		}
	}
	for _, scope := range scopes {
		if c.pods.watches[scope] == nil {
			c.pods.watches[scope] = c.pods.start(ctx, scope)
		}
	}
}

func (p *pods) start(ctx context.Context, scope Scope) *watch {
	narrow := func(o *metav1.ListOptions) { o.LabelSelector = scope.Selector }
	informer := coreinformers.NewFilteredPodInformer(p.client, scope.Namespace, 0, nil, narrow)
	changed := func() { p.changed(scope) }
	failure := &lastError{changed: changed}
	// Neither can fail before the informer runs.
	_ = informer.SetTransform(scope.trimmer().trim)
	_ = informer.SetWatchErrorHandlerWithContext(failure.handle)
	_, _ = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { changed() },
		UpdateFunc: func(before, after any) {
			// A kubelet's heartbeat in a field that was trimmed away is no change.
			if !sameToPlanner(before.(*corev1.Pod), after.(*corev1.Pod)) {
				changed()
			}
		},
		DeleteFunc: func(any) { changed() },
	})
	ctx, stop := context.WithCancel(ctx)
	go informer.RunWithContext(ctx)
	go func() {
		select {
		case <-informer.HasSyncedChecker().Done(): // perhaps with no pod to tell of
			changed()
		case <-ctx.Done():
		}
	}()
	return &watch{scope, ctx, informer, stop, failure, map[string]*corev1.Pod{}}
}

// list returns the pods of a watched scope, by name.
func (p *pods) list(scope Scope) ([]*corev1.Pod, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.watches[scope]
	switch {
	case w == nil:
		return nil, ErrNotListed
	case w.informer.HasSynced() && scope.Owner != "":
		return p.owners.only(w.life, w.list(), scope.Owner)
	case w.informer.HasSynced():
		return w.list(), nil
	}
	if why := w.failure.get(); why != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotListed, why)
	}
	return nil, ErrNotListed
}

// wrote keeps the answer to a write until the informers have caught up: a
// decision made on the pod as it was before would be made twice.
func (p *pods) wrote(pod *corev1.Pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.watches {
		if _, known, _ := w.informer.GetStore().Get(pod); known {
			trimmed, _ := w.scope.trimmer().trim(pod) // a *Pod is always trimmed
			w.written[pod.Name] = trimmed.(*corev1.Pod)
		}
	}
}

func (w *watch) list() []*corev1.Pod {
	written := w.written
	w.written = map[string]*corev1.Pod{}
	var out []*corev1.Pod
	for _, object := range w.informer.GetStore().List() {
		pod := object.(*corev1.Pod)
		if own := written[pod.Name]; own != nil && newer(own, pod) {
			w.written[pod.Name] = own
			pod = own
		}
		out = append(out, pod)
	}
	slices.SortFunc(out, func(a, b *corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func newer(own, cached *corev1.Pod) bool {
	if own.UID != cached.UID {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(own.ResourceVersion, cached.ResourceVersion)
	return err == nil && order > 0
}

// lastError remembers why an informer could not list or watch.
type lastError struct {
	changed func()
	mu      sync.Mutex
	err     error
}

func (l *lastError) handle(_ context.Context, _ *cache.Reflector, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
	l.changed()
}

func (l *lastError) get() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}
