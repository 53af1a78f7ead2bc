package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Admit has the cluster's admission controls judge other images of a pod's
// containers, by name, as if they were written to its spec. Nothing is: it is a
// dry run. It returns nil if they would be admitted, ErrChanged if the pod is not
// the one that it was, and otherwise what the controls say, or why they cannot be
// asked.
func (c *Cluster) Admit(ctx context.Context, pod Pod, images map[string]string) error {
	patch, err := imagePatch(pod, images)
	if err != nil {
		return err
	}
	options := metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}}
	_, err = c.client.CoreV1().Pods(pod.Ref.Namespace).Patch(ctx, pod.Ref.Name, types.StrategicMergePatchType, patch, options)
	return verdict(err, pod.Ref.Name)
}

// verdict reads an API server's answer.
func verdict(err error, pod string) error {
	var status apierrors.APIStatus
	switch {
	case err == nil:
		return nil
	case isAnother(err):
		return ErrChanged
	case errors.As(err, &status) && status.Status().Code/100 == http.StatusBadRequest/100 && !apierrors.IsTooManyRequests(err):
		return fmt.Errorf("the cluster does not admit the new image: %w", err)
	}
	return fmt.Errorf("the cluster's admission controls cannot be asked about the new image, on pod %s: %w", pod, err)
}

func imagePatch(pod Pod, images map[string]string) ([]byte, error) {
	type container struct {
		Name  string `json:"name"`
		Image string `json:"image"`
	}
	spec := map[string][]container{}
	for _, name := range pod.Containers {
		list := "containers"
		if slices.Contains(pod.NativeSidecars, name) {
			list = "initContainers"
		}
		if image := images[name]; image != "" {
			spec[list] = append(spec[list], container{name, image})
		}
	}
	return json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.Ref.UID}, "spec": spec})
}
