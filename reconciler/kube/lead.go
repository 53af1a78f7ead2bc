package kube

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// Times of the lease: another reconciler takes over leaseDuration after this one was cut
// off, which by then has stopped by itself, and at the next of its tries, which client-go
// spreads over up to 2.2 times retryPeriod.
const (
	leaseDuration = 8 * time.Second
	renewDeadline = 5 * time.Second
	retryPeriod   = 1 * time.Second
)

// LeaseName is the Lease that reconcilers of one namespace compete for.
const LeaseName = "hotpatch-reconciler"

// ErrLeaseLost ends the work of a leader that is one no more.
var ErrLeaseLost = errors.New("the lease was lost to another reconciler or could not be renewed")

// Lead waits for the lease and runs work while it is held. The lease is given
// back only after work has returned, so that two never work at once. A process
// that starts again under the same identity takes its own lease back at once.
func (c *Cluster) Lead(ctx context.Context, namespace, identity string, work func(context.Context) error) error {
	electing, release := context.WithCancel(context.WithoutCancel(ctx))
	defer release()
	leading := make(chan context.Context, 1)
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: namespace, Name: LeaseName},
			Client:     c.client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
		},
		LeaseDuration:   leaseDuration,
		RenewDeadline:   renewDeadline,
		RetryPeriod:     retryPeriod,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(held context.Context) { leading <- held },
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return fmt.Errorf("leader election: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		elector.Run(electing)
	}()
	defer func() { release(); <-ended }()

	select {
	case <-ctx.Done():
		return nil
	case held := <-leading:
		return whileHeld(ctx, held, work)
	}
}

// Leader is the host under which the holder of the lease is reached: it is named after
// its pod. An address is soon given to the next pod, so one that runs no more has none.
func (c *Cluster) Leader(ctx context.Context, namespace string) (host string, err error) {
	lease, err := c.client.CoordinationV1().Leases(namespace).Get(ctx, LeaseName, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("see who leads: %w", err)
	}
	if lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "" {
		return "", fmt.Errorf("nobody holds the lease %s/%s", namespace, LeaseName)
	}
	holder := *lease.Spec.HolderIdentity
	pod, err := c.client.CoreV1().Pods(namespace).Get(ctx, holder, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("see where %s is, who leads: %w", holder, err)
	}
	if pod.Status.PodIP == "" || pod.Status.Phase != corev1.PodRunning {
		return "", fmt.Errorf("%s, who leads, does not run (%s, address %q)", holder, pod.Status.Phase, pod.Status.PodIP)
	}
	return pod.Status.PodIP, nil
}

// whileHeld runs work until it returns, ctx ends, or the lease is lost.
func whileHeld(ctx, held context.Context, work func(context.Context) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer context.AfterFunc(held, func() { stop(ErrLeaseLost) })()
	err := work(ctx)
	if errors.Is(context.Cause(ctx), ErrLeaseLost) {
		return ErrLeaseLost
	}
	return err
}
