package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// restarted kills patched servers, one in each pod, and sees how those that take
// their place come to be patched: from their first instruction, or right after.
func (b *bench) restarted(ctx context.Context) error {
	image, err := stage.GameServer("v2")
	if err != nil {
		return err
	}
	if err := b.Scale(ctx, killed); err != nil {
		return err
	}
	pods, err := b.Pods(ctx, app)
	if err != nil {
		return err
	}
	for _, pod := range pods {
		if err := b.Tell(ctx, pod.Name, "restarted", image, &api.Reload{Signal: "SIGHUP"}); err != nil {
			return err
		}
	}
	if _, err := b.UntilCount(killed, stage.On("restarted")); err != nil {
		return err
	}
	before, err := b.startedPatched(ctx)
	if err != nil {
		return err
	}
	lives, err := b.Lives(ctx, app, "main")
	if err != nil {
		return err
	}
	var took []time.Duration
	for _, life := range lives {
		began := time.Now()
		if err := syscall.Kill(life.HostPID, syscall.SIGKILL); err != nil {
			return err
		}
		end, err := b.Until(life.Pod, func(pod corev1.Pod) bool { return anew(pod, life) })
		if err != nil {
			return err
		}
		took = append(took, end.Sub(began))
	}
	after, err := b.startedPatched(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("\n%d containers killed: %.0f of those after them started on the patched image; observed on it, by the median, %s after the kill (kubelet's own wait included).\n",
		len(lives), after-before, ms(median(took)))
	return nil
}

// anew: another container than the one that was killed is seen where it should be.
func anew(pod corev1.Pod, killed stage.Life) bool {
	o, err := stage.Observed(pod)
	return err == nil && stage.On("restarted")(pod) && o.Containers[0].ContainerID != killed.ContainerID
}

// startedPatched is how many containers have started on their patched image.
func (b *bench) startedPatched(ctx context.Context) (float64, error) {
	families, err := b.metrics(ctx)
	if err != nil {
		return 0, err
	}
	for _, m := range families["hotpatch_agent_started_patched_total"].GetMetric() {
		return m.GetCounter().GetValue(), nil
	}
	return 0, fmt.Errorf("the agent does not count containers that start on their patched image")
}
