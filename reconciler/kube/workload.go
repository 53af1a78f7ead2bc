package kube

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"hotpatch.dev/hotpatch/api"
)

// Scope is a set of pods: those of a namespace with a label selector.
type Scope struct {
	Namespace string
	Selector  string // as kubectl's -l takes it
}

// workloads finds the pods of any kind of workload by what it says itself.
type workloads struct {
	client dynamic.Interface
	mapper meta.RESTMapper
}

// Scope tells which pods a target means. The error says in words what is
// missing: the kind, the object, or its selector.
func (c *Cluster) Scope(ctx context.Context, namespace string, target api.Target) (Scope, error) {
	if target.Selector != nil {
		return Scope{namespace, labels.SelectorFromSet(target.Selector.MatchLabels).String()}, nil
	}
	selector, err := c.workloads.selector(ctx, namespace, target)
	return Scope{namespace, selector}, err
}

// resource is where objects of the target's kind are.
func (w *workloads) resource(namespace string, target api.Target) (dynamic.ResourceInterface, error) {
	gv, err := schema.ParseGroupVersion(target.APIVersion)
	if err != nil {
		return nil, err
	}
	mapping, err := w.mapper.RESTMapping(gv.WithKind(target.Kind).GroupKind(), gv.Version)
	if meta.IsNoMatchError(err) {
		return nil, fmt.Errorf("this cluster has no kind %s in %s: is its CustomResourceDefinition installed?", target.Kind, target.APIVersion)
	}
	if err != nil {
		return nil, fmt.Errorf("ask the cluster for its kinds: %w", err)
	}
	return w.client.Resource(mapping.Resource).Namespace(namespace), nil
}

func (w *workloads) selector(ctx context.Context, namespace string, target api.Target) (string, error) {
	client, err := w.resource(namespace, target)
	if err != nil {
		return "", err
	}
	object, err := client.Get(ctx, target.Name, metav1.GetOptions{})
	if err != nil {
		return "", describe(err, namespace, target)
	}
	if text, err := podSelector(object); err == nil {
		return text, nil
	} else if !errors.Is(err, errNoSelector) {
		return "", fmt.Errorf("%s in namespace %s: %w", target, namespace, err)
	}
	scale, err := client.Get(ctx, target.Name, metav1.GetOptions{}, "scale")
	if err != nil {
		return "", fmt.Errorf("%s in namespace %s has no spec.selector and no scale subresource that names its pods: %w", target, namespace, err)
	}
	return scaleSelector(scale)
}

func describe(err error, namespace string, target api.Target) error {
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Errorf("there is no %s in namespace %s", target, namespace)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("the reconciler may not read %s in namespace %s; give its ServiceAccount `get` on that kind: %w", target, namespace, err)
	}
	return fmt.Errorf("read %s in namespace %s: %w", target, namespace, err)
}

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
		return "", fmt.Errorf("%s has no spec.selector, and its scale has no status.selector yet", scale.GetName())
	}
	return text, nil
}
