package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"hotpatch.dev/hotpatch/test/stage"
)

// rival is the example's Deployment under another name, which no HotPatch knows.
const rival = "game-rival"

const image = "registry.example:5000/game-server:"

// bySetImage is a Deployment's rolling update, with its default pace.
func bySetImage(ctx context.Context, b *bench) (outcome, error) {
	return b.release(ctx, func(ctx context.Context, _ []corev1.Pod) error {
		_, err := b.Kubectl(ctx, "set", "image", "deployment/"+rival, "main="+image+"v2")
		return err
	})
}

// byPodPatch patches all pods' images at once; kubelet restarts the containers.
func byPodPatch(ctx context.Context, b *bench) (outcome, error) {
	return b.release(ctx, func(ctx context.Context, pods []corev1.Pod) error {
		patch := []byte(fmt.Sprintf(`{"spec":{"containers":[{"name":"main","image":%q}]}}`, image+"v2"))
		for _, pod := range pods {
			if _, err := b.Kube.CoreV1().Pods(stage.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}); err != nil {
				return err
			}
		}
		return nil
	})
}

// release starts the rival on v1, lets people play, and changes it.
func (b *bench) release(ctx context.Context, change func(context.Context, []corev1.Pod) error) (o outcome, err error) {
	if err := b.startRival(ctx); err != nil {
		return o, err
	}
	defer b.Kubectl(context.WithoutCancel(ctx), "delete", "deployment", rival, "--wait", "--timeout=60s", "--cascade=foreground")
	before, err := b.Lives(ctx, rival, "main")
	if err != nil {
		return o, err
	}
	pods, err := b.Pods(ctx, rival)
	if err != nil {
		return o, err
	}
	crowd, err := b.Gather(ctx, rival, perServer, pause)
	if err != nil {
		return o, err
	}
	defer crowd.Leave()
	began := time.Now()
	if err := change(ctx, pods); err != nil {
		return o, err
	}
	if err := b.allOn(ctx, "v2"); err != nil {
		return o, err
	}
	o.observed = time.Since(began)
	after, err := b.Lives(ctx, rival, "main")
	o.restarts = changed(before, after)
	o.see(crowd.Report())
	return o, err
}

func (b *bench) startRival(ctx context.Context) error {
	manifest, err := os.ReadFile(filepath.Join(b.Root, "examples/hot-patch/deploy/deployment.yaml"))
	if err != nil {
		return err
	}
	file, err := os.CreateTemp("", "rival-*.yaml")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	text := strings.NewReplacer("name: game-server\n", "name: "+rival+"\n", "app: game-server", "app: "+rival).Replace(string(manifest))
	if _, err := file.WriteString(text); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	if _, err := b.Kubectl(ctx, "apply", "-f", file.Name()); err != nil {
		return err
	}
	return b.allOn(ctx, "v1")
}

// allOn waits until all pods of the rival are Ready and serve a version, and none
// is left over. The image in a pod's status is any name of it, so it is no proof.
func (b *bench) allOn(ctx context.Context, version string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		on, err := b.countOn(ctx, version)
		if on == servers {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d pods on %s within %s: %w", on, servers, version, patience, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (b *bench) countOn(ctx context.Context, version string) (int, error) {
	pods, err := b.Pods(ctx, rival)
	if err != nil || len(pods) != servers {
		return 0, err
	}
	on := 0
	for _, pod := range pods {
		if statuses := pod.Status.ContainerStatuses; len(statuses) == 1 && statuses[0].Ready {
			if a, err := stage.Ask(pod.Name, pod.Status.PodIP+":7777"); err == nil && a.Version == version {
				on++
			}
		}
	}
	return on, nil
}
