package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
)

// Pod is the sidecar's own pod.
type Pod struct {
	Namespace, Name string
	// UID, where it is known, keeps a write from reaching a later pod of the
	// same name.
	UID string
}

// String is "namespace/name".
func (p Pod) String() string { return p.Namespace + "/" + p.Name }

// Annotate sets annotations of the pod, leaving all others alone.
func (c *Client) Annotate(ctx context.Context, pod Pod, annotations map[string]string) error {
	metadata := map[string]any{"annotations": annotations}
	if pod.UID != "" {
		metadata["uid"] = pod.UID // another UID is a conflict
	}
	body, err := json.Marshal(map[string]any{"metadata": metadata})
	if err != nil {
		return err
	}
	path := fmt.Sprintf("/api/v1/namespaces/%s/pods/%s", url.PathEscape(pod.Namespace), url.PathEscape(pod.Name))
	if err := c.do(ctx, call{http.MethodPatch, path, mergePatch, body}, nil); err != nil {
		return fmt.Errorf("annotate pod %s: %w", pod, err)
	}
	return nil
}
