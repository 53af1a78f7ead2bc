package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/kube"
	"hotpatch.dev/hotpatch/reconciler/plan"
)

// listTimeout bounds the wait for a cluster's list of pods.
const listTimeout = 15 * time.Second

// cluster is looked at, and nothing else.
type cluster struct {
	kube    *kube.Cluster
	changed chan struct{}
}

func look(kubeconfig string) (*cluster, error) {
	c := &cluster{changed: make(chan struct{}, 1)}
	var err error
	c.kube, err = kube.Connect(kubeconfig, func(kube.Scope) { c.wake() })
	return c, err
}

// wake says that something changed; nobody need listen.
func (c *cluster) wake() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// pods lists what a HotPatch selects.
func (c *cluster) pods(ctx context.Context, h api.HotPatch) ([]plan.Pod, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	scope, err := c.kube.Scope(ctx, h.Metadata.Namespace, h.Spec.Target)
	if err != nil {
		return nil, err
	}
	scope = scope.Keeping(h.Spec.Rollout.Annotations())
	c.kube.Watch(ctx, []kube.Scope{scope})
	for {
		listed, err := c.kube.Pods(scope)
		if err == nil {
			return planned(listed), nil
		}
		if !errors.Is(err, kube.ErrNotListed) {
			return nil, err
		}
		select {
		case <-c.changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("list the pods within %s: %w", listTimeout, err)
		}
	}
}

func planned(listed []kube.Pod) []plan.Pod {
	var pods []plan.Pod
	for _, p := range listed {
		pods = append(pods, p.Pod)
	}
	return pods
}
