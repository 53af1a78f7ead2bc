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
	"k8s.io/client-go/kubernetes/scheme"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/nodeagent/credentials"
	"hotpatch.dev/hotpatch/nodeagent/runtime"
	"hotpatch.dev/hotpatch/nodeagent/swap/layer"
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
	// Youth is how long no program is signalled after its start; 0: 2 s.
	Youth time.Duration
	// Listen is where metrics are served.
	Listen string
	// CarryLimit is how much of a container's writes carry: [all] takes along.
	CarryLimit layer.Limit
	// AllowUntested swaps also where the swap's tests were not run.
	AllowUntested bool
	// At is called after each step of a swap. Tests kill the agent there.
	At func(step string)
}

// containerRuntime is what an agent needs of the node's. There is one for
// containerd; CRI-O would be another package with these.
type containerRuntime interface {
	containers
	roots
	pruner
	starts
	puller
	executor
	daemon
	Close() error
}

// Agent is one node's agent.
type Agent struct {
	options Options
	kube    kubernetes.Interface
	runtime containerRuntime
	images  *images
	pods    cache.SharedIndexInformer
	queue   workqueue.TypedRateLimitingInterface[string]
	metrics *metrics
	// events are written aside, grouped and limited; losing one is not worth a retry.
	events record.EventRecorder
	// swaps has a place for each swap that may run now. More than the node has
	// processors would only have processes wait stopped.
	swaps chan struct{}
	// stragglers are the processes that swaps have left behind.
	stragglers stragglers
	// devices are those of the roots that containers have been on.
	devices devices
	// said is what the cache of pods may not show yet.
	said said
}

// New connects to the node's containerd.
func New(options Options, kube kubernetes.Interface) (*Agent, error) {
	if options.Youth == 0 {
		options.Youth = defaultYouth
	}
	rt, err := runtime.Open(options.Socket)
	if err != nil {
		return nil, err
	}
	a := &Agent{options: options, kube: kube, runtime: rt, metrics: newMetrics(),
		swaps: make(chan struct{}, goruntime.GOMAXPROCS(0))}
	a.images = newImages(rt, a.metrics)
	a.images.credentials = a.credentials
	a.pods = newPodInformer(kube, options.NodeName)
	a.queue = workqueue.NewTypedRateLimitingQueue(
		workqueue.NewTypedItemExponentialFailureRateLimiter[string](200*time.Millisecond, time.Minute))
	return a, nil
}

func (a *Agent) credentials(ctx context.Context, pod *corev1.Pod, image string) (*cri.AuthConfig, error) {
	return credentials.Of(ctx, a.kube, pod, image)
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
		DeleteFunc: func(object any) {
			if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object); err == nil {
				a.metrics.observed(key, api.Observed{})
				a.said.forget(key)
			}
		},
	}); err != nil {
		return err
	}
	defer a.recordEvents(ctx)()
	go a.pods.RunWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), a.pods.HasSynced) {
		return context.Cause(ctx)
	}
	go a.watchContainers(ctx)
	logging.From(ctx).Infof("watching the pods of node %s", a.options.NodeName)
	return a.work(ctx)
}

// recordEvents has events written to the API server until the returned function
// is called.
func (a *Agent) recordEvents(ctx context.Context) (stop func()) {
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartRecordingToSink(&corev1client.EventSinkImpl{Interface: a.kube.CoreV1().Events("")})
	a.events = broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "hotpatch-agent", Host: a.options.NodeName})
	return broadcaster.Shutdown
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
	pod = pod.DeepCopy()
	a.said.correct(pod)
	return pod, nil
}
