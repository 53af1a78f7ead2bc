package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hotpatch.dev/hotpatch/test/stage"
)

// sizes prints what the programs cost, after all these releases.
func (b *bench) sizes(ctx context.Context) error {
	fmt.Printf("\n| program | memory (RSS) | binary |\n|---|---|---|\n")
	for _, p := range []struct{ name, namespace, selector, container string }{
		{"hotpatch-reconciler", stage.System, "app.kubernetes.io/name=hotpatch-reconciler", "reconciler"},
		{"hotpatch-agent", stage.System, "app.kubernetes.io/name=hotpatch-agent", "agent"},
		{"hotpatch-sidecar", stage.Namespace, "app=hot-update-gs", "sidecar"},
	} {
		resident, err := b.resident(ctx, p.namespace, p.selector, p.container)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		binary, err := os.Stat(filepath.Join(b.Root, "bin", p.name))
		if err != nil {
			return err
		}
		fmt.Printf("| %s | %.0f MB | %.0f MB |\n", p.name, float64(resident)/1e6, float64(binary.Size())/1e6)
	}
	return nil
}

// resident is the largest of the pods'.
func (b *bench) resident(ctx context.Context, namespace, selector, container string) (most int, err error) {
	list, err := b.Kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return 0, err
	}
	for _, pod := range list.Items {
		for _, c := range pod.Status.ContainerStatuses {
			if c.Name != container || c.State.Running == nil {
				continue
			}
			bytes, err := stage.ResidentMemory(c.ContainerID)
			if err != nil {
				return 0, err
			}
			most = max(most, bytes)
		}
	}
	return most, nil
}
