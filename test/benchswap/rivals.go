package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"hotpatch.dev/hotpatch/test/stage"
)

// rivals is what people do today to one pod at a time, beside ours: fresh pods
// each, as kubelet lets a container wait that was restarted before.
func (b *bench) rivals(ctx context.Context) error {
	fmt.Printf("\n| way to change one pod, without load | until it is Ready and on the image, median of %d |\n|---|---|\n", restarts)
	for _, way := range []struct {
		name   string
		change func(context.Context, corev1.Pod) (time.Duration, error)
	}{
		{"hot-patched, and observed", b.hotPatch},
		{"its image patched: kubelet restarts the container", b.patchImage},
		{"deleted: another pod takes its place", b.replace},
	} {
		if err := b.Scale(ctx, restarts); err != nil {
			return err
		}
		pods, err := b.Pods(ctx, app)
		if err != nil {
			return err
		}
		var took []time.Duration
		for _, pod := range pods {
			d, err := way.change(ctx, pod)
			if err != nil {
				return err
			}
			took = append(took, d)
		}
		fmt.Printf("| %s | %s |\n", way.name, ms(median(took)))
	}
	return nil
}

func (b *bench) hotPatch(ctx context.Context, pod corev1.Pod) (time.Duration, error) {
	image, err := stage.GameServer("v2")
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := b.Tell(ctx, pod.Name, "rival", image, nil); err != nil {
		return 0, err
	}
	end, err := b.Until(pod.Name, func(now corev1.Pod) bool { return stage.On("rival")(now) && stage.Ready(now) })
	return end.Sub(began), err
}

func (b *bench) patchImage(ctx context.Context, pod corev1.Pod) (time.Duration, error) {
	image, err := stage.GameServer("v2")
	if err != nil {
		return 0, err
	}
	patch := fmt.Appendf(nil, `{"spec":{"containers":[{"name":"main","image":%q}]}}`, image)
	began := time.Now()
	if _, err := b.Kube.CoreV1().Pods(stage.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return 0, err
	}
	end, err := b.Until(pod.Name, func(now corev1.Pod) bool {
		return stage.Ready(now) && len(now.Status.ContainerStatuses) == 1 && now.Status.ContainerStatuses[0].RestartCount > pod.Status.ContainerStatuses[0].RestartCount
	})
	return end.Sub(began), err
}

func (b *bench) replace(ctx context.Context, pod corev1.Pod) (time.Duration, error) {
	began := time.Now()
	if err := b.Kube.CoreV1().Pods(stage.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{}); err != nil {
		return 0, err
	}
	end, err := b.UntilCount(restarts, func(now corev1.Pod) bool {
		return now.Name != pod.Name && now.DeletionTimestamp == nil && stage.Ready(now)
	})
	return end.Sub(began), err
}

// crowded patches a hundred pods of the node at once, and looks at what the
// agent then takes.
func (b *bench) crowded(ctx context.Context) error {
	image, err := stage.GameServer("v2")
	if err != nil {
		return err
	}
	if err := b.Scale(ctx, many); err != nil {
		return err
	}
	pods, err := b.Pods(ctx, app)
	if err != nil {
		return err
	}
	time.Sleep(20 * time.Second) // what starts so many has come to rest
	began := time.Now()
	asked := make(chan error, len(pods))
	for _, pod := range pods {
		go func() { asked <- b.Tell(ctx, pod.Name, "many", image, nil) }()
	}
	for range pods {
		if err := <-asked; err != nil {
			return err
		}
	}
	end, err := b.UntilCount(many, stage.On("many"))
	if err != nil {
		return err
	}
	fmt.Printf("\n%d pods of one node, asked at once: all observed after %.2f s.\n", many, end.Sub(began).Seconds())
	return b.idle(ctx)
}

const idleFor = 20 * time.Second

// idle is what the agent takes when nothing is to be done.
func (b *bench) idle(ctx context.Context) error {
	agents, err := b.Kube.CoreV1().Pods(stage.System).List(ctx, metav1.ListOptions{LabelSelector: agentSelector})
	if err != nil || len(agents.Items) == 0 {
		return fmt.Errorf("find the agent: %w", err)
	}
	time.Sleep(15 * time.Second) // it looks at old processes every second for ten
	id := agents.Items[0].Status.ContainerStatuses[0].ContainerID
	before, err := stage.CPUTime(id)
	if err != nil {
		return err
	}
	time.Sleep(idleFor)
	after, err := stage.CPUTime(id)
	if err != nil {
		return err
	}
	memory, err := stage.ResidentMemory(id)
	if err != nil {
		return err
	}
	fmt.Printf("The agent then has %.0f MB resident and takes %.1f %% of a core.\n", float64(memory)/1e6, 100*(after-before).Seconds()/idleFor.Seconds())
	return nil
}
