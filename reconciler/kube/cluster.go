// Package kube is the reconciler's view of a Kubernetes cluster: the pods that
// targets select, as the planner's values, and the few writes the reconciler
// makes.
//
// It promises to watch no other pods than those a target selects, to keep of
// them only what the planner reads, to show a write of its own at once (never
// a cache from before it), and to hit with a write only the very pod, in the
// very version, that was decided about.
package kube

import (
	"fmt"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"

	"hotpatch.dev/hotpatch/internal/buildinfo"
)

// Requests that may be made per second; a rollout writes to many pods at once.
const qps, burst = 200, 400

// Cluster reads and writes one cluster. Its methods may be called from several
// goroutines.
type Cluster struct {
	config    *rest.Config
	client    kubernetes.Interface
	meta      metadata.Interface
	workloads *workloads
	pods      *pods
}

// Connect prepares clients for the cluster of a kubeconfig file, or for the one
// this process runs in when the name is empty. It calls changed, from any
// goroutine, whenever pods of a watched scope are not what they were; with the
// zero Scope where it cannot tell of which.
func Connect(kubeconfig string, changed func(Scope)) (*Cluster, error) {
	config, err := restConfig(kubeconfig)
	if err != nil {
		return nil, err
	}
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	disc, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	typed := rest.CopyConfig(config)
	typed.ContentType = "application/vnd.kubernetes.protobuf"
	typed.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	client, err := kubernetes.NewForConfig(typed)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	meta, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	kinds := memory.NewMemCacheClient(disc)
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(kinds)
	return &Cluster{
		config:    config,
		client:    client,
		meta:      meta,
		workloads: &workloads{client: dyn, kinds: kinds, mapper: mapper},
		pods:      newPods(client, newOwners(&parents{meta, mapper}, func() { changed(Scope{}) }), changed),
	}, nil
}

func restConfig(kubeconfig string) (*rest.Config, error) {
	load := rest.InClusterConfig
	if kubeconfig != "" {
		load = func() (*rest.Config, error) { return clientcmd.BuildConfigFromFlags("", kubeconfig) }
	}
	config, err := load()
	if err != nil {
		return nil, fmt.Errorf("no cluster to connect to (set --kubeconfig outside of one): %w", err)
	}
	config.UserAgent = "hotpatch-reconciler/" + buildinfo.Version()
	config.QPS, config.Burst = qps, burst
	return config, nil
}
