package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
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

func (p Pod) path() string {
	return fmt.Sprintf("/api/v1/namespaces/%s/pods/%s", url.PathEscape(p.Namespace), url.PathEscape(p.Name))
}

// Owner is the workload that a pod belongs to.
type Owner struct{ Kind, Name string }

// Owner tells it: the Deployment where there is one, or the pod itself where
// nobody owns it. No more than the pod's metadata is read.
func (c *Client) Owner(ctx context.Context, pod Pod) (Owner, error) {
	var object struct {
		Metadata struct {
			Labels          map[string]string
			OwnerReferences []struct {
				Kind, Name string
				Controller bool
			}
		}
	}
	what := call{method: http.MethodGet, path: pod.path(), accept: "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}
	if err := c.do(ctx, what, &object); err != nil {
		return Owner{}, fmt.Errorf("read pod %s: %w", pod, err)
	}
	for _, o := range object.Metadata.OwnerReferences {
		if !o.Controller {
			continue
		}
		hash := object.Metadata.Labels["pod-template-hash"]
		if deployment, ok := strings.CutSuffix(o.Name, "-"+hash); ok && hash != "" && o.Kind == "ReplicaSet" {
			return Owner{Kind: "Deployment", Name: deployment}, nil
		}
		return Owner{Kind: o.Kind, Name: o.Name}, nil
	}
	return Owner{Kind: "Pod", Name: pod.Name}, nil
}

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
	if err := c.do(ctx, call{method: http.MethodPatch, path: pod.path(), contentType: mergePatch, body: body}, nil); err != nil {
		return fmt.Errorf("annotate pod %s: %w", pod, err)
	}
	return nil
}
