package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/crane"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	apiwatch "k8s.io/apimachinery/pkg/watch"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// scale has so many pods of the example's game server on v1, under our name.
func (b *bench) scale(ctx context.Context, replicas int) error {
	manifest, err := os.ReadFile(filepath.Join(b.Root, "examples/hot-patch/deploy/deployment.yaml"))
	if err != nil {
		return err
	}
	text := strings.NewReplacer("name: game-server\n", "name: "+app+"\n", "app: game-server", "app: "+app,
		"replicas: 8", fmt.Sprintf("replicas: %d", replicas)).Replace(string(manifest))
	file := filepath.Join(os.TempDir(), app+".yaml")
	defer os.Remove(file)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	if _, err := b.Kubectl(ctx, "apply", "-f", file); err != nil {
		return err
	}
	_, err = b.Kubectl(ctx, "rollout", "status", "deployment/"+app, "--timeout="+patience.String())
	return err
}

// image is a version of the game server by digest, as nodes pull it.
func image(version string) (string, error) {
	digest, err := crane.Digest("127.0.0.1:5000/game-server:" + version)
	return "registry.example:5000/game-server@" + digest, err
}

// ask writes on a pod what it should run, as the reconciler would.
func (b *bench) ask(ctx context.Context, pod, annotation string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{annotation: string(text)}}})
	if err != nil {
		return err
	}
	_, err = b.Kube.CoreV1().Pods(stage.Namespace).Patch(ctx, pod, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

func desired(revision, image string, reload *api.Reload) api.Desired {
	return api.Desired{HotPatch: "bench", Revision: revision, Containers: []api.DesiredContainer{{Name: "main", Image: image, Reload: reload}}}
}

// watch is what the API server has told of the pods.
type watch struct {
	mu   sync.Mutex
	pods map[string]corev1.Pod
	news *sync.Cond
}

func (b *bench) watch(ctx context.Context) (*watch, error) {
	w := &watch{pods: map[string]corev1.Pod{}}
	w.news = sync.NewCond(&w.mu)
	stream, err := b.stream(ctx)
	if err != nil {
		return nil, err
	}
	go func() {
		for err == nil { // the API server ends streams of those who are slow
			w.take(stream)
			stream, err = b.stream(ctx)
		}
	}()
	return w, nil
}

// stream begins with all pods that there are.
func (b *bench) stream(ctx context.Context) (apiwatch.Interface, error) {
	return b.Kube.CoreV1().Pods(stage.Namespace).Watch(ctx, metav1.ListOptions{LabelSelector: "app=" + app})
}

func (w *watch) take(stream apiwatch.Interface) {
	for event := range stream.ResultChan() {
		pod, ok := event.Object.(*corev1.Pod)
		if !ok {
			continue
		}
		w.mu.Lock()
		if w.pods[pod.Name] = *pod; event.Type == apiwatch.Deleted {
			delete(w.pods, pod.Name)
		}
		w.news.Broadcast()
		w.mu.Unlock()
	}
}

// until waits for a pod to be so.
func (w *watch) until(name string, so func(corev1.Pod) bool) (time.Time, error) {
	end, err := w.untilCount(1, func(pod corev1.Pod) bool { return pod.Name == name && so(pod) })
	if err != nil {
		return end, fmt.Errorf("pod %s: %w", name, err)
	}
	return end, nil
}

// untilCount waits for so many pods to be so.
func (w *watch) untilCount(n int, so func(corev1.Pod) bool) (time.Time, error) {
	late := time.AfterFunc(patience, w.news.Broadcast)
	defer late.Stop()
	end := time.Now().Add(patience)
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.count(so) < n {
		if time.Now().After(end) {
			return time.Now(), fmt.Errorf("%d of %d pods are as they should be within %s", w.count(so), n, patience)
		}
		w.news.Wait()
	}
	return time.Now(), nil
}

func (w *watch) count(so func(corev1.Pod) bool) (n int) {
	for _, pod := range w.pods {
		if so(pod) {
			n++
		}
	}
	return n
}

// on tells whether the agent has seen a pod on a revision.
func on(revision string) func(corev1.Pod) bool {
	return func(pod corev1.Pod) bool {
		o, err := stage.Observed(pod)
		return err == nil && o.Revision == revision && len(o.Containers) == 1 && o.Containers[0].State.Done()
	}
}

func ready(pod corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
