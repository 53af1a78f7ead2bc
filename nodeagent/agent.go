// Package nodeagent does one node's work: it watches the node's pods, and has
// each container run on the image that the pod's hotpatch.dev/desired asks for,
// without a restart; what it then reads off the node it writes back as
// hotpatch.dev/observed.
//
// It is level-triggered: killed at any moment, it looks again and finishes. A
// restarted container loses its swap; it is swapped again, reconciler or not.
// pod.spec is never patched.
package nodeagent

import (
	"context"
	"fmt"
	goruntime "runtime"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/nodeagent/runtime"
)

// Options of one agent.
type Options struct {
	NodeName string
	// Socket of containerd.
	Socket string
	// StageDir is a directory of ours, CgroupDir the host's cgroup filesystem,
	// SnapshotDir where containerd's overlayfs snapshots are.
	StageDir, CgroupDir, SnapshotDir string
	// Workers is how many pods are worked on at once.
	Workers int
	// Listen is where metrics are served.
	Listen string
	// AllowUntested swaps also where the swap's tests were not run.
	AllowUntested bool
	// At is called after each step of a swap. Tests kill the agent there.
	At func(step string)
}

// Agent is one node's agent.
type Agent struct {
	options Options
	kube    kubernetes.Interface
	runtime *runtime.Runtime
	images  *images
	pods    cache.SharedIndexInformer
	queue   workqueue.TypedRateLimitingInterface[string]
	metrics *metrics
	// swaps has a place for each swap that may run now. More than the node has
	// processors would only have processes wait stopped.
	swaps chan struct{}
}

// New connects to the node's containerd.
func New(options Options, kube kubernetes.Interface) (*Agent, error) {
	rt, err := runtime.Open(options.Socket)
	if err != nil {
		return nil, err
	}
	a := &Agent{options: options, kube: kube, runtime: rt, images: newImages(rt), metrics: newMetrics(),
		swaps: make(chan struct{}, goruntime.GOMAXPROCS(0))}
	a.pods = newPodInformer(kube, options.NodeName)
	a.queue = workqueue.NewTypedRateLimitingQueue(
		workqueue.NewTypedItemExponentialFailureRateLimiter[string](200*time.Millisecond, time.Minute))
	return a, nil
}

// Run works until ctx ends. What is being swapped then is finished first.
func (a *Agent) Run(ctx context.Context) error {
	defer a.runtime.Close()
	if err := checkNode(ctx, a.options, a.runtime); err != nil {
		return err
	}
	stopServing, err := a.serve(ctx)
	if err != nil {
		return err
	}
	defer stopServing()
	if _, err := a.pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) { a.enqueue(object) },
		UpdateFunc: func(before, after any) {
			if changed(before, after) {
				a.enqueue(after)
			}
		},
	}); err != nil {
		return err
	}
	go a.pods.RunWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), a.pods.HasSynced) {
		return context.Cause(ctx)
	}
	go a.watchStarts(ctx)
	logging.From(ctx).Infof("watching the pods of node %s", a.options.NodeName)
	return a.work(ctx)
}

// work runs the workers until ctx ends.
func (a *Agent) work(ctx context.Context) error {
	var workers sync.WaitGroup
	for range max(a.options.Workers, 1) {
		workers.Go(func() {
			for a.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	a.queue.ShutDown()
	workers.Wait()
	return nil
}

// next takes one pod through a pass; false when the queue has been shut down.
func (a *Agent) next(ctx context.Context) bool {
	key, quit := a.queue.Get()
	if quit {
		return false
	}
	defer a.queue.Done(key)
	again, err := a.pass(logging.With(ctx, "pod", key), key)
	switch {
	case err != nil:
		a.queue.AddRateLimited(key)
		logging.From(ctx).WithField("pod", key).WithError(err).Warn("will be tried again")
	default:
		a.queue.Forget(key)
		if again > 0 {
			a.queue.AddAfter(key, again)
		}
	}
	return true
}

func (a *Agent) enqueue(object any) {
	pod, ok := object.(*corev1.Pod)
	if ok && pod.DeletionTimestamp == nil && concernsUs(pod) {
		a.queue.Add(pod.Namespace + "/" + pod.Name)
	}
}

// watchStarts looks at a pod as soon as containerd has started a container of
// it, which the pod watch would tell up to a second later.
func (a *Agent) watchStarts(ctx context.Context) {
	for id := range a.runtime.Starts(ctx) {
		if key, ok := a.runtime.PodOf(ctx, id); ok {
			if object, exists, err := a.pods.GetStore().GetByKey(key); err == nil && exists {
				a.enqueue(object)
			}
		}
	}
}

// pod is a copy of the pod of a queue's key, nil if there is none.
func (a *Agent) pod(key string) (*corev1.Pod, error) {
	object, exists, err := a.pods.GetStore().GetByKey(key)
	if err != nil || !exists {
		return nil, err
	}
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return nil, fmt.Errorf("the cache holds a %T for %s", object, key)
	}
	return pod.DeepCopy(), nil
}
