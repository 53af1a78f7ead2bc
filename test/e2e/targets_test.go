package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// target is what a HotPatch names, and the label of its pods.
type target struct{ name, yaml string }

// rollouts are what there is to say of some of them, beside how fast: one pod is to go
// before the other.
var rollouts = map[string]string{
	"t-gss":   ", partition: 1, order: [priority]",
	"t-clone": ", partition: 1, order: [oldest]",
}

var targets = []target{
	{"t-stateful", "{apiVersion: apps/v1, kind: StatefulSet, name: t-stateful}"},
	{"t-daemon", "{apiVersion: apps/v1, kind: DaemonSet, name: t-daemon}"},
	{"t-replica", "{apiVersion: apps/v1, kind: ReplicaSet, name: t-replica}"},
	{"t-bare", "{selector: {matchLabels: {app: t-bare}}}"},
	{"t-gss", "{apiVersion: game.kruise.io/v1alpha1, kind: GameServerSet, name: t-gss}"},
	{"t-clone", "{apiVersion: apps.kruise.io/v1alpha1, kind: CloneSet, name: t-clone}"},
	{"t-game", "{apiVersion: tkex.tencent.com/v1alpha1, kind: GameDeployment, name: t-game}"},
	{"t-fleet", "{apiVersion: games.example.org/v1, kind: Fleet, name: t-fleet}"},
}

const targetFiles = "test/e2e/testdata/targets/"

// Every kind of workload that people run games in: Kubernetes' own, pods that
// nobody owns, kinds that name their pods in their spec or in their scale, and one
// that is only known from its pods, over two levels. Order and partition are of any.
func TestAnyWorkloadIsATarget(t *testing.T) {
	t.Parallel()
	s := open(t)
	t.Cleanup(s.endTargets)
	s.makeTargets()
	before := map[string][]stage.Life{}
	for _, target := range targets {
		before[target.name] = s.grown(target.name)
	}

	s.askFor("v2", rollouts)
	s.oneOfTwo("t-gss", 0)   // of the higher priority, while its ordinal is the lower
	s.oneOfTwo("t-clone", 1) // the older, while its name is the second

	s.askFor("v2", nil)
	for _, target := range targets {
		s.reached(target.name, len(before[target.name]))
		after, err := on.Lives(s.ctx, target.name, "main")
		s.must(err)
		if err := stage.SameLives(before[target.name], after); err != nil {
			t.Errorf("%s: %v", target.name, err)
		}
	}
}

// oneOfTwo waits until the partition holds one pod, and says if it is the wrong one.
func (s *scene) oneOfTwo(app string, first int) {
	s.Helper()
	s.must(stage.Eventually(s.ctx, limit, func(ctx context.Context) error {
		status, err := s.repo.Status(ctx, app)
		if err == nil && (status.Phase != api.PhasePaused || status.Counts.Updated != 1 || status.Counts.Total != 2) {
			err = fmt.Errorf("%s is %s, %d of %d: %s", app, status.Phase, status.Counts.Updated, status.Counts.Total, status.Message)
		}
		return err
	}))
	pods, err := on.Pods(s.ctx, app)
	s.must(err)
	for i, pod := range pods {
		a, err := stage.Ask(pod.Name, pod.Status.PodIP+":7777")
		s.must(err)
		if (a.Version == "v2") != (i == first) {
			s.Errorf("pod %s is on %s, and %s was to go first", pod.Name, a.Version, pods[first].Name)
		}
	}
}

// makeKinds makes the kinds that are served by a definition, and lists each once: one
// that nobody has listed yet when it is deleted may never go, since the API server's
// cleanup gives up while the kind's storage starts.
func (s *scene) makeKinds() {
	s.Helper()
	s.kubectl("apply", "-f", targetFiles+"crds.yaml")
	s.kubectl("wait", "--for=condition=established", "--timeout=30s", "-f", targetFiles+"crds.yaml")
	names := s.kubectl("get", "-f", targetFiles+"crds.yaml", "-o", "jsonpath={.items[*].metadata.name}")
	s.kubectl("get", "-A", strings.Join(strings.Fields(names), ","))
}

// makeTargets applies kinds and workloads, and does their controllers' work.
func (s *scene) makeTargets() {
	s.Helper()
	s.makeKinds()
	s.kubectl("apply", "-f", targetFiles+"rbac.yaml")
	s.kubectl("apply", "-n", stage.Namespace, "-f", targetFiles+"workloads.yaml")

	s.kubectl("patch", "-n", stage.Namespace, "gameserversets.game.kruise.io", "t-gss", "--subresource=status", "--type=merge",
		"-p", `{"status":{"replicas":2,"labelSelector":"game.kruise.io/owner-gss=t-gss"}}`)
	advanced := s.child("apps.kruise.io/v1beta1", "StatefulSet", "t-gss", s.owner("game.kruise.io/v1alpha1", "GameServerSet", "gameserversets.game.kruise.io", "t-gss"))
	shard := s.child("games.example.org/v1", "Shard", "t-fleet-east", s.owner("games.example.org/v1", "Fleet", "fleets.games.example.org", "t-fleet"))
	owners := map[string]*metav1.OwnerReference{
		"t-bare":  nil,
		"t-gss":   s.owner("apps.kruise.io/v1beta1", "StatefulSet", "statefulsets.apps.kruise.io", advanced),
		"t-clone": s.owner("apps.kruise.io/v1alpha1", "CloneSet", "clonesets.apps.kruise.io", "t-clone"),
		"t-game":  s.owner("tkex.tencent.com/v1alpha1", "GameDeployment", "gamedeployments.tkex.tencent.com", "t-game"),
		"t-fleet": s.owner("games.example.org/v1", "Shard", "shards.games.example.org", shard),
	}
	for i := range 2 {
		var made time.Time
		for app, owner := range owners {
			made = s.makePod(app, i, owner)
		}
		time.Sleep(time.Until(made.Add(time.Second))) // ages are told in whole seconds
	}
}

func (s *scene) kubectl(args ...string) string {
	s.Helper()
	out, err := on.Kubectl(s.ctx, args...)
	s.must(err)
	return out
}

// owner is a reference to an object as controllers write it.
func (s *scene) owner(apiVersion, kind, resource, name string) *metav1.OwnerReference {
	s.Helper()
	uid := s.kubectl("get", "-n", stage.Namespace, resource, name, "-o", "jsonpath={.metadata.uid}")
	yes := true
	return &metav1.OwnerReference{APIVersion: apiVersion, Kind: kind, Name: name, UID: types.UID(uid), Controller: &yes, BlockOwnerDeletion: &yes}
}

// child makes an object that stands between a workload and its pods.
func (s *scene) child(apiVersion, kind, name string, owner *metav1.OwnerReference) string {
	s.Helper()
	object := map[string]any{"apiVersion": apiVersion, "kind": kind,
		"metadata": map[string]any{"name": name, "namespace": stage.Namespace, "ownerReferences": []any{owner}}}
	text, err := json.Marshal(object)
	s.must(err)
	file := filepath.Join(s.TempDir(), "child.json")
	s.must(os.WriteFile(file, text, 0o644))
	s.kubectl("apply", "-f", file)
	return name
}

// makePod makes a pod as its controller would, with the name and the labels that they
// give, and says when it was made.
func (s *scene) makePod(app string, i int, owner *metav1.OwnerReference) time.Time {
	s.Helper()
	now, no := int64(1), false
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", app, i), Labels: map[string]string{"app": app}},
		Spec: corev1.PodSpec{TerminationGracePeriodSeconds: &now, AutomountServiceAccountToken: &no, Containers: []corev1.Container{
			{Name: "main", Image: "registry.example:5000/game-server:v1", Command: []string{"/game/server"}}}},
	}
	if owner != nil {
		pod.OwnerReferences = []metav1.OwnerReference{*owner}
	}
	switch id := [...]string{"z2x7v", "b5kqd"}[i]; app {
	case "t-gss":
		maps.Copy(pod.Labels, map[string]string{"game.kruise.io/owner-gss": app, "game.kruise.io/gs-update-priority": strconv.Itoa(20 - 10*i),
			"statefulset.kubernetes.io/pod-name": pod.Name, "controller-revision-hash": app + "-6f7b9c5d84"})
	case "t-clone":
		pod.Name = app + "-" + id
		maps.Copy(pod.Labels, map[string]string{"apps.kruise.io/cloneset-instance-id": id, "controller-revision-hash": app + "-6f7b9c5d84"})
	case "t-game":
		pod.Name = app + "-" + id
		maps.Copy(pod.Labels, map[string]string{"tkex.bkbcs.tencent.com/gamedeployment-instance-id": id, "controller-revision-hash": app + "-6f7b9c5d84"})
	}
	made, err := on.Kube.CoreV1().Pods(stage.Namespace).Create(s.ctx, pod, metav1.CreateOptions{})
	s.must(err)
	return made.CreationTimestamp.Time
}

// grown waits for the pods of a target to run, and notes their lives.
func (s *scene) grown(app string) (lives []stage.Life) {
	s.Helper()
	s.must(stage.Eventually(s.ctx, limit, func(ctx context.Context) error {
		pods, err := on.Pods(ctx, app)
		if err != nil {
			return err
		}
		if lives, err = on.Lives(ctx, app, "main"); err == nil && (len(pods) == 0 || len(lives) < len(pods)) {
			err = fmt.Errorf("%d of %d pods of %s run", len(lives), len(pods), app)
		}
		return err
	}))
	return lives
}

// askFor pushes a HotPatch per target, with more to say of the rollouts of some.
func (s *scene) askFor(version string, rollouts map[string]string) {
	s.Helper()
	dir := filepath.Join(s.repo.Dir, "targets")
	s.must(os.MkdirAll(dir, 0o755))
	var all strings.Builder
	for _, target := range targets {
		fmt.Fprintf(&all, `---
apiVersion: hotpatch.dev/v1alpha1
kind: HotPatch
metadata: {name: %s, namespace: default}
spec:
  target: %s
  containers:
  - {name: main, image: "registry.example:5000/game-server:%s", reload: {signal: SIGHUP}}
  rollout: {maxConcurrent: 100%%, maxUnavailable: 100%%%s}
`, target.name, target.yaml, version, rollouts[target.name])
	}
	s.must(os.WriteFile(filepath.Join(dir, "targets.yaml"), []byte(all.String()), 0o644))
	s.push("Release " + version + " to every kind of workload")
}

// reached waits until the record says that all pods are there.
func (s *scene) reached(name string, total int) {
	s.Helper()
	err := stage.Eventually(s.ctx, limit, func(ctx context.Context) error {
		status, err := s.repo.Status(ctx, name)
		if err == nil && (status.Phase != api.PhaseComplete || status.Counts.Updated != total || status.Counts.Total != total) {
			err = fmt.Errorf("%s is %s, %d of %d of %d pods: %s", name, status.Phase, status.Counts.Updated, status.Counts.Total, total, status.Message)
		}
		return err
	})
	if err != nil {
		s.Error(err)
	}
}

// endTargets takes everything off the stage again.
func (s *scene) endTargets() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	s.ctx = ctx
	if err := os.RemoveAll(filepath.Join(s.repo.Dir, "targets")); err != nil {
		s.Error(err)
	}
	s.push("Forget the targets")
	for _, args := range [][]string{
		{"delete", "pod", "-n", stage.Namespace, "--ignore-not-found", "-l", "app in (t-bare,t-gss,t-clone,t-game,t-fleet)"},
		{"delete", "-n", stage.Namespace, "--ignore-not-found", "-f", targetFiles + "workloads.yaml"},
		{"delete", "--ignore-not-found", "-f", targetFiles + "crds.yaml", "-f", targetFiles + "rbac.yaml"},
	} {
		if _, err := on.Kubectl(ctx, args...); err != nil {
			s.Error(err)
		}
	}
}
