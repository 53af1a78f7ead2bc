package stage

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
)

// Alone is the stage without a reconciler: game servers that no HotPatch knows,
// of which its user says what they should run. Nobody else changes pods, or
// takes the node's time.
type Alone struct {
	*Stage
	app  string // also the name of the Deployment
	mu   sync.Mutex
	pods map[string]corev1.Pod // as the API server has told
	news *sync.Cond
}

// patience is how long anything may take on it.
const patience = 5 * time.Minute

// Alone has so many game servers on v1. End takes them away.
func (s *Stage) Alone(ctx context.Context, app string, replicas int) (*Alone, error) {
	for _, args := range [][]string{
		{"-n", System, "scale", "deployment/hotpatch-reconciler", "--replicas=0"},
		{"-n", Namespace, "scale", "deployment/game-server", "deployment/hot-update-gs", "--replicas=0"},
		{"-n", Namespace, "wait", "--for=delete", "pod", "-l", "app in (game-server, hot-update-gs)", "--timeout=120s"},
	} {
		if _, err := s.Kubectl(ctx, args...); err != nil {
			return nil, err
		}
	}
	a := &Alone{Stage: s, app: app, pods: map[string]corev1.Pod{}}
	a.news = sync.NewCond(&a.mu)
	if err := a.Scale(ctx, replicas); err != nil {
		return nil, err
	}
	return a, a.watch(ctx)
}

// End takes the servers away.
func (a *Alone) End(ctx context.Context) error {
	_, err := a.Kubectl(ctx, "delete", "deployment", a.app, "--ignore-not-found", "--wait", "--timeout=120s", "--cascade=foreground")
	return err
}

// share of a core, in thousandths, that all servers ask for together, as those do
// that matter: of two cores, who asks for next to nothing waits for all the others.
const share = 800

// Scale has so many new ones, and waits until they are Ready. Those before are
// taken away first: they ask for another share, and a Deployment that is scaled
// while its template changes has as many more of them, for which no core is left.
func (a *Alone) Scale(ctx context.Context, replicas int) error {
	if err := a.End(ctx); err != nil {
		return err
	}
	manifest, err := os.ReadFile(filepath.Join(a.Root, "examples/hot-patch/deploy/deployment.yaml"))
	if err != nil {
		return err
	}
	text := strings.NewReplacer("name: game-server\n", "name: "+a.app+"\n", "app: game-server", "app: "+a.app,
		"replicas: 8", fmt.Sprintf("replicas: %d", replicas), "cpu: 10m", fmt.Sprintf("cpu: %dm", share/max(replicas, 1))).Replace(string(manifest))
	file := filepath.Join(os.TempDir(), a.app+".yaml")
	defer os.Remove(file)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	if _, err := a.Kubectl(ctx, "apply", "-f", file); err != nil {
		return err
	}
	_, err = a.Kubectl(ctx, "rollout", "status", "deployment/"+a.app, "--timeout="+patience.String())
	return err
}

// GameServer is a version of the game server by digest, as nodes pull it.
func GameServer(version string) (string, error) {
	digest, err := crane.Digest("127.0.0.1:5000/game-server:" + version)
	return "registry.example:5000/game-server@" + digest, err
}

// Tell writes on a pod what it should run, as the reconciler would.
func (a *Alone) Tell(ctx context.Context, pod, revision, image string, reload *api.Reload) error {
	text, err := json.Marshal(api.Desired{HotPatch: a.app, Revision: revision, Containers: []api.DesiredContainer{{Name: "main", Image: image, Reload: reload}}})
	if err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{api.DesiredAnnotation: string(text)}}})
	if err != nil {
		return err
	}
	_, err = a.Kube.CoreV1().Pods(Namespace).Patch(ctx, pod, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

func (a *Alone) watch(ctx context.Context) error {
	stream, err := a.stream(ctx)
	if err != nil {
		return err
	}
	go func() {
		for err == nil { // the API server ends streams of those who are slow
			a.take(stream)
			stream, err = a.stream(ctx)
		}
	}()
	return nil
}

// stream begins with all pods that there are.
func (a *Alone) stream(ctx context.Context) (apiwatch.Interface, error) {
	return a.Kube.CoreV1().Pods(Namespace).Watch(ctx, metav1.ListOptions{LabelSelector: "app=" + a.app})
}

func (a *Alone) take(stream apiwatch.Interface) {
	for event := range stream.ResultChan() {
		pod, ok := event.Object.(*corev1.Pod)
		if !ok {
			continue
		}
		a.mu.Lock()
		if a.pods[pod.Name] = *pod; event.Type == apiwatch.Deleted {
			delete(a.pods, pod.Name)
		}
		a.news.Broadcast()
		a.mu.Unlock()
	}
}

// Until waits for a pod to be so.
func (a *Alone) Until(name string, so func(corev1.Pod) bool) (time.Time, error) {
	end, err := a.UntilCount(1, func(pod corev1.Pod) bool { return pod.Name == name && so(pod) })
	if err != nil {
		return end, fmt.Errorf("pod %s: %w", name, err)
	}
	return end, nil
}

// UntilCount waits for so many pods to be so.
func (a *Alone) UntilCount(n int, so func(corev1.Pod) bool) (time.Time, error) {
	late := time.AfterFunc(patience, a.news.Broadcast)
	defer late.Stop()
	end := time.Now().Add(patience)
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.count(so) < n {
		if time.Now().After(end) {
			return time.Now(), fmt.Errorf("%d of %d pods are as they should be within %s", a.count(so), n, patience)
		}
		a.news.Wait()
	}
	return time.Now(), nil
}

func (a *Alone) count(so func(corev1.Pod) bool) (n int) {
	for _, pod := range a.pods {
		if so(pod) {
			n++
		}
	}
	return n
}

// On tells whether the agent has seen a pod on a revision.
func On(revision string) func(corev1.Pod) bool {
	return func(pod corev1.Pod) bool {
		o, err := Observed(pod)
		return err == nil && o.Revision == revision && len(o.Containers) == 1 && o.Containers[0].State.Done()
	}
}

// Ready tells whether kubelet calls a pod so.
func Ready(pod corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
