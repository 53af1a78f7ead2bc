package kube

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// SyncTimeout is how long the first list of a new scope may take before its
// HotPatch is told so; the watch goes on trying.
const SyncTimeout = 10 * time.Second

// pods holds one informer per scope in use.
type pods struct {
	client  kubernetes.Interface
	changed func()

	mu      sync.Mutex
	watches map[Scope]*watch
}

// watch is one running informer.
type watch struct {
	informer cache.SharedIndexInformer
	stop     context.CancelFunc
	failure  *lastError
	written  map[string]*corev1.Pod // by name, newer than what the informer has seen
}

func newPods(client kubernetes.Interface, changed func()) *pods {
	return &pods{
		client:  client,
		changed: changed,
		watches: map[Scope]*watch{},
	}
}

// Watch starts to watch the scopes that are new and stops to watch the others.
// The watches end with ctx.
func (c *Cluster) Watch(ctx context.Context, scopes []Scope) {
	c.pods.mu.Lock()
	defer c.pods.mu.Unlock()
	for scope, w := range c.pods.watches {
		if !slices.Contains(scopes, scope) {
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
	failure := &lastError{}
	// Neither can fail before the informer runs.
	_ = informer.SetTransform(trim)
	_ = informer.SetWatchErrorHandlerWithContext(failure.handle)
	_, _ = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { p.changed() },
		UpdateFunc: p.updated,
		DeleteFunc: func(any) { p.changed() },
	})
	ctx, stop := context.WithCancel(ctx)
	go informer.RunWithContext(ctx)
	return &watch{informer, stop, failure, map[string]*corev1.Pod{}}
}

// updated passes on only changes that the planner would see: a kubelet's
// heartbeat in a field that was trimmed away is none.
func (p *pods) updated(before, after any) {
	if !sameToPlanner(before.(*corev1.Pod), after.(*corev1.Pod)) {
		p.changed()
	}
}

// list returns the pods of a watched scope, by name.
func (p *pods) list(ctx context.Context, scope Scope) ([]*corev1.Pod, error) {
	p.mu.Lock()
	w := p.watches[scope]
	p.mu.Unlock()
	if w == nil {
		return nil, fmt.Errorf("pods %s of namespace %s are not watched", scope.Selector, scope.Namespace)
	}
	if err := w.synced(ctx); err != nil {
		return nil, fmt.Errorf("list pods %s of namespace %s: %w", scope.Selector, scope.Namespace, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return w.list(), nil
}

// wrote keeps the answer to a write until the informers have caught up: a
// decision made on the pod as it was before would be made twice.
func (p *pods) wrote(pod *corev1.Pod) {
	trimmed, _ := trim(pod) // a *Pod is always trimmed
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.watches {
		if _, known, _ := w.informer.GetStore().Get(pod); known {
			w.written[pod.Name] = trimmed.(*corev1.Pod)
		}
	}
}

// synced waits until the informer has its first list.
func (w *watch) synced(ctx context.Context) error {
	timeout := time.NewTimer(SyncTimeout)
	defer timeout.Stop()
	select {
	case <-w.informer.HasSyncedChecker().Done():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timeout.C:
		return cmp.Or(w.failure.get(), fmt.Errorf("no answer from the API server within %s", SyncTimeout))
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
	mu  sync.Mutex
	err error
}

func (l *lastError) handle(_ context.Context, _ *cache.Reflector, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

func (l *lastError) get() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}
