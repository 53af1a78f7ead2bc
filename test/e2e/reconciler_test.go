package e2e

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hotpatch.dev/hotpatch/test/stage"
)

// replicas has so many reconcilers run.
func (s *scene) replicas(n int) {
	s.Helper()
	s.changeReconciler("scale", reconcilers, fmt.Sprintf("--replicas=%d", n))
}

// reconcilerWith starts it again with other settings.
func (s *scene) reconcilerWith(settings ...string) {
	s.Helper()
	s.changeReconciler(append([]string{"set", "env", reconcilers, "-c", "reconciler"}, settings...)...)
}

const reconcilers = "deployment/hotpatch-reconciler"

// changeReconciler changes its Deployment by a command of kubectl, and waits until it
// runs so; also when a test has no time left.
func (s *scene) changeReconciler(command ...string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if _, err := on.Kubectl(ctx, append([]string{"-n", stage.System}, command...)...); err != nil {
		s.Error(err)
	}
	if err := reconcilerListens(ctx); err != nil {
		s.Error(err)
	}
}

// reconcilerListens waits until its Deployment is as it should be, and its Service leads
// there: word of a push before that is lost, and waits for a poll.
func reconcilerListens(ctx context.Context) error {
	if _, err := on.Kubectl(ctx, "-n", stage.System, "rollout", "status", reconcilers, "--timeout=90s"); err != nil {
		return err
	}
	hook, err := on.Hook(ctx)
	if err != nil {
		return err
	}
	at, err := url.Parse(hook)
	if err != nil {
		return err
	}
	return stage.Eventually(ctx, limit, func(context.Context) error {
		conn, err := net.DialTimeout("tcp", at.Host, time.Second)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// leaderAndStandby waits until two reconcilers run, of which one has the lease.
func (s *scene) leaderAndStandby() (leader, standby corev1.Pod) {
	s.Helper()
	s.must(stage.Eventually(s.ctx, limit, func(ctx context.Context) error {
		lease, err := on.Kube.CoordinationV1().Leases(stage.System).Get(ctx, "hotpatch-reconciler", metav1.GetOptions{})
		if err != nil {
			return err
		}
		pods, err := on.Kube.CoreV1().Pods(stage.System).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=hotpatch-reconciler"})
		if err != nil {
			return err
		}
		leader, standby = corev1.Pod{}, corev1.Pod{}
		for _, pod := range pods.Items {
			if pod.Name == *lease.Spec.HolderIdentity {
				leader = pod
			} else {
				standby = pod
			}
		}
		if leader.Status.PodIP == "" || standby.Status.PodIP == "" {
			return fmt.Errorf("of %d reconcilers %q leads, and %q stands by", len(pods.Items), leader.Name, standby.Name)
		}
		return nil
	}))
	return leader, standby
}

// pushesAreTold to this URL for the time of the test, and nowhere else; "": to nobody.
func (s *scene) pushesAreTold(url string) {
	s.Helper()
	hook, err := on.Hook(s.ctx)
	s.must(err)
	s.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := on.StartGit(ctx, hook); err != nil {
			s.Error(err)
		}
	})
	s.must(on.StartGit(s.ctx, url))
}
