package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"

	"hotpatch.dev/hotpatch/api"
)

// Scope is a set of pods: those of a namespace with a label selector, or those
// that an object owns over any number of levels.
type Scope struct {
	Namespace string
	Selector  string // as kubectl's -l takes it
	Owner     string // its UID
	// Keep names the annotations of others that are read, with commas.
	Keep string
}

// Keeping is a scope whose pods come with these annotations.
func (s Scope) Keeping(annotations []string) Scope {
	s.Keep = strings.Join(annotations, ",")
	return s
}

func (s Scope) trimmer() trimmer {
	return trimmer{annotations: strings.Split(s.Keep, ","), owners: s.Owner != ""}
}

// workloads finds the pods of any kind of workload by what it says itself.
type workloads struct {
	client dynamic.Interface
	kinds  discovery.ServerResourcesInterface
	mapper meta.RESTMapper
}

// Scope tells which pods a target means. The error says in words what is
// missing: the kind, the object, or its selector.
func (c *Cluster) Scope(ctx context.Context, namespace string, target api.Target) (Scope, error) {
	if target.Selector != nil {
		return Scope{Namespace: namespace, Selector: labels.SelectorFromSet(target.Selector.MatchLabels).String()}, nil
	}
	scope, err := c.workloads.scope(ctx, namespace, target)
	scope.Namespace = namespace
	return scope, err
}

// resource is where objects of a target's kind are.
func (w *workloads) resource(namespace string, target api.Target) (dynamic.ResourceInterface, error) {
	mapping, err := w.mapping(target)
	if err != nil {
		return nil, err
	}
	return w.client.Resource(mapping.Resource).Namespace(namespace), nil
}

// scope is what a workload says of its pods: its spec.selector, that of its
// scale, or else nothing but what the pods say themselves, whose owner it is.
func (w *workloads) scope(ctx context.Context, namespace string, target api.Target) (Scope, error) {
	mapping, err := w.mapping(target)
	if err != nil {
		return Scope{}, err
	}
	client := w.client.Resource(mapping.Resource).Namespace(namespace)
	object, err := client.Get(ctx, target.Name, metav1.GetOptions{})
	if err != nil {
		return Scope{}, describe(err, namespace, target)
	}
	selector, err := podSelector(object)
	if errors.Is(err, errNoSelector) && w.scales(mapping.Resource) {
		var scale *unstructured.Unstructured
		if scale, err = client.Get(ctx, target.Name, metav1.GetOptions{}, "scale"); err != nil {
			return Scope{}, describe(err, namespace, target, "scale")
		}
		selector, err = scaleSelector(scale)
	}
	switch {
	case errors.Is(err, errNoSelector):
		return Scope{Owner: string(object.GetUID())}, nil
	case err != nil:
		return Scope{}, fmt.Errorf("%s in namespace %s: %w", target, namespace, err)
	}
	return Scope{Selector: selector}, nil
}

func (w *workloads) mapping(target api.Target) (*meta.RESTMapping, error) {
	gv, err := schema.ParseGroupVersion(target.APIVersion)
	if err != nil {
		return nil, err
	}
	mapping, err := mappingOf(w.mapper, gv.WithKind(target.Kind))
	if meta.IsNoMatchError(err) {
		return nil, fmt.Errorf("this cluster has no kind %s in %s: is its CustomResourceDefinition installed?", target.Kind, target.APIVersion)
	}
	if err != nil {
		return nil, fmt.Errorf("ask the cluster for its kinds: %w", err)
	}
	return mapping, nil
}

// mappingOf finds where the objects of a kind are. One that is not known may be
// new: the cluster's kinds are then read anew. Who asks in vain asks more and more
// rarely.
func mappingOf(mapper meta.RESTMapper, kind schema.GroupVersionKind) (*meta.RESTMapping, error) {
	mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if !meta.IsNoMatchError(err) {
		return mapping, err
	}
	meta.MaybeResetRESTMapper(mapper)
	return mapper.RESTMapping(kind.GroupKind(), kind.Version)
}

// scales tells whether a kind has a scale subresource. To ask for one that is not
// there would take a right to it.
func (w *workloads) scales(resource schema.GroupVersionResource) bool {
	list, err := w.kinds.ServerResourcesForGroupVersion(resource.GroupVersion().String())
	return err == nil && slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == resource.Resource+"/scale" })
}

func describe(err error, namespace string, target api.Target, subresource ...string) error {
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Errorf("%w %s in namespace %s", ErrNoTarget, target, namespace)
	case apierrors.IsForbidden(err):
		kind := strings.Join(append([]string{"that kind"}, subresource...), "'s ")
		return fmt.Errorf("the reconciler may not read %s in namespace %s; give its ServiceAccount `get` on %s: %w", target, namespace, kind, err)
	}
	return fmt.Errorf("read %s in namespace %s: %w", target, namespace, err)
}

// ErrNoTarget says that a workload does not exist.
var ErrNoTarget = errors.New("there is no")

var errNoSelector = errors.New("no spec.selector")

// podSelector reads spec.selector of a workload, in either of the two forms
// that Kubernetes knows: a LabelSelector, or bare labels as in a
// ReplicationController.
func podSelector(object *unstructured.Unstructured) (string, error) {
	raw, found, err := unstructured.NestedMap(object.Object, "spec", "selector")
	if err != nil || !found || len(raw) == 0 {
		return "", errNoSelector
	}
	var ls metav1.LabelSelector
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw, &ls); err != nil {
		return "", fmt.Errorf("spec.selector: %w", err)
	}
	if len(ls.MatchLabels) == 0 && len(ls.MatchExpressions) == 0 {
		bare, _, err := unstructured.NestedStringMap(object.Object, "spec", "selector")
		if err != nil {
			return "", fmt.Errorf("spec.selector: %w", err)
		}
		ls.MatchLabels = bare
	}
	selector, err := metav1.LabelSelectorAsSelector(&ls)
	if err != nil {
		return "", fmt.Errorf("spec.selector: %w", err)
	}
	return selector.String(), nil
}

func scaleSelector(scale *unstructured.Unstructured) (string, error) {
	text, _, _ := unstructured.NestedString(scale.Object, "status", "selector")
	if text == "" {
		return "", errNoSelector
	}
	return text, nil
}
