package kube

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/plan"
)

// heldPage is how many pods are read at once.
const heldPage = 500

// Held lists the pods of a namespace, or of all, that follow the reconciler of a
// namespace, be they watched or not: with what it takes to give them up.
func (c *Cluster) Held(ctx context.Context, namespace, by string) (held []Pod, err error) {
	pods := c.meta.Resource(corev1.SchemeGroupVersion.WithResource("pods")).Namespace(namespace)
	options := metav1.ListOptions{Limit: heldPage}
	for {
		page, err := pods.List(ctx, options)
		if err != nil {
			return nil, fmt.Errorf("list the pods that are held: %w", err)
		}
		for _, pod := range page.Items {
			p := Pod{Pod: plan.Pod{Name: pod.Name, UID: string(pod.UID)}, Ref: Ref{pod.Namespace, pod.Name, string(pod.UID), pod.ResourceVersion}}
			_ = json.Unmarshal([]byte(pod.Annotations[api.OwnerAnnotation]), &p.Owner) // what cannot be read holds nothing
			if by != "" && p.Owner.Namespace == by {
				held = append(held, p)
			}
		}
		if options.Continue = page.Continue; options.Continue == "" {
			return held, nil
		}
	}
}
