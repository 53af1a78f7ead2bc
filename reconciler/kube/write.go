package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// ErrChanged says that a pod was changed or replaced since it was decided
// about. Nothing was written; the change itself brings the next pass.
var ErrChanged = errors.New("the pod has changed meanwhile")

// Ref is one very pod, in one very version, or in any if Version is empty.
type Ref struct {
	Namespace, Name, UID, Version string
}

// Annotate sets annotations of a pod, and removes those whose value is nil, in
// one write, if the pod is still the one of ref.
func (c *Cluster) Annotate(ctx context.Context, ref Ref, annotations map[string]*string) error {
	patch, err := annotationPatch(ref, annotations)
	if err != nil {
		return err
	}
	pod, err := c.client.CoreV1().Pods(ref.Namespace).Patch(ctx, ref.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	if isAnother(err) {
		return ErrChanged
	}
	if err != nil {
		return fmt.Errorf("annotate pod %s/%s: %w", ref.Namespace, ref.Name, err)
	}
	c.pods.wrote(pod)
	return nil
}

// isAnother recognises the answers to a write for a pod that is gone, has
// changed, or whose name another pod has now: the API server takes a UID that
// differs for an attempt to change it.
func isAnother(err error) bool {
	cause, _ := apierrors.StatusCause(err, metav1.CauseTypeFieldValueInvalid)
	return apierrors.IsConflict(err) || apierrors.IsNotFound(err) || apierrors.IsInvalid(err) && cause.Field == "metadata.uid"
}

func annotationPatch(ref Ref, annotations map[string]*string) ([]byte, error) {
	metadata := map[string]any{"uid": ref.UID, "annotations": annotations}
	if ref.Version != "" {
		metadata["resourceVersion"] = ref.Version
	}
	return json.Marshal(map[string]any{"metadata": metadata})
}
