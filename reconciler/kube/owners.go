package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
)

// Limits of walks from pods to what owns them.
const (
	maxAbove     = 32     // owners of one pod
	maxOwners    = 10_000 // remembered
	ownerTimeout = 10 * time.Second
	ownerRetry   = time.Minute
	atOnce       = 8 // requests
)

// family tells what owns an object; it is *parents.
type family interface {
	of(ctx context.Context, namespace string, child metav1.OwnerReference) ([]metav1.OwnerReference, error)
}

// owners tells which pods an object owns. A pod names its owner, that one its
// own, and so on; those in between are asked for once, aside of whoever wants to
// know. Owners do not change, so that they are remembered by their UIDs.
type owners struct {
	family  family
	changed func()
	slots   chan struct{}

	mu    sync.Mutex
	known map[types.UID]*owner
}

// owner is what is known of one that is no pod.
type owner struct {
	owners []metav1.OwnerReference
	err    error // why they are not known
	asking bool
	due    time.Time // when to ask again after an error
}

func newOwners(family family, changed func()) *owners {
	return &owners{family: family, changed: changed, slots: make(chan struct{}, atOnce), known: map[types.UID]*owner{}}
}

// only are the pods that lead to an object. While that is not known of all of
// them the error is ErrNotListed; where none does, and of some it cannot be known,
// it says why.
func (o *owners) only(ctx context.Context, pods []*corev1.Pod, uid string) (owned []*corev1.Pod, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.known) > maxOwners {
		clear(o.known)
	}
	for _, pod := range pods {
		yes, why := o.lead(ctx, pod, types.UID(uid))
		switch {
		case yes:
			owned = append(owned, pod)
		case errors.Is(why, ErrNotListed):
			return nil, why
		case why != nil:
			err = fmt.Errorf("what owns pod %s cannot be told: %w", pod.Name, why)
		}
	}
	if len(owned) > 0 {
		return owned, nil
	}
	return nil, err
}

// lead tells whether any way up from a pod leads to an object.
func (o *owners) lead(ctx context.Context, pod *corev1.Pod, to types.UID) (yes bool, unknown error) {
	ways, seen := pod.OwnerReferences, map[types.UID]bool{}
	for len(ways) > 0 && len(seen) < maxAbove {
		ref := ways[0]
		ways = ways[1:]
		if ref.UID == to {
			return true, nil
		}
		if seen[ref.UID] {
			continue
		}
		seen[ref.UID] = true
		above, err := o.above(ctx, pod.Namespace, ref)
		if err != nil && !errors.Is(unknown, ErrNotListed) {
			unknown = err
		}
		ways = slices.Concat(ways, above)
	}
	return false, unknown
}

// above is what owns an owner, as far as it is known by now.
func (o *owners) above(ctx context.Context, namespace string, ref metav1.OwnerReference) ([]metav1.OwnerReference, error) {
	known := o.known[ref.UID]
	if known == nil {
		known = &owner{err: ErrNotListed}
		o.known[ref.UID] = known
	}
	if known.err != nil && !known.asking && !time.Now().Before(known.due) {
		known.asking = true
		go o.ask(ctx, namespace, ref, known)
	}
	return known.owners, known.err
}

func (o *owners) ask(ctx context.Context, namespace string, ref metav1.OwnerReference, known *owner) {
	o.slots <- struct{}{}
	defer func() { <-o.slots }()
	ctx, cancel := context.WithTimeout(ctx, ownerTimeout)
	defer cancel()
	owners, err := o.family.of(ctx, namespace, ref)
	o.mu.Lock()
	known.owners, known.err, known.asking, known.due = owners, err, false, time.Now().Add(ownerRetry)
	if errors.Is(err, context.Canceled) { // nobody wants to know any more; others may later
		delete(o.known, ref.UID)
	}
	o.mu.Unlock()
	o.changed()
}

// parents asks the API server.
type parents struct {
	client metadata.Interface
	mapper meta.RESTMapper
}

// of reads nothing but the metadata of an owner. One that is gone has no owners:
// its pods will follow it.
func (p *parents) of(ctx context.Context, namespace string, ref metav1.OwnerReference) ([]metav1.OwnerReference, error) {
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		return nil, err
	}
	mapping, err := mappingOf(p.mapper, gv.WithKind(ref.Kind))
	if err != nil {
		return nil, fmt.Errorf("ask the cluster for its kind %s: %w", ref.Kind, err)
	}
	var client metadata.ResourceInterface = p.client.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		client = p.client.Resource(mapping.Resource).Namespace(namespace)
	}
	object, err := client.Get(ctx, ref.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err), err == nil && object.UID != ref.UID:
		return nil, nil
	case apierrors.IsForbidden(err):
		return nil, fmt.Errorf("the reconciler may not read %s %s in namespace %s; give its ServiceAccount `get` on that kind: %w", ref.Kind, ref.Name, namespace, err)
	case err != nil:
		return nil, fmt.Errorf("read %s %s in namespace %s: %w", ref.Kind, ref.Name, namespace, err)
	}
	return object.OwnerReferences, nil
}
