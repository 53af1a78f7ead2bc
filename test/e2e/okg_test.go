package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"hotpatch.dev/hotpatch/test/stage"
)

const (
	okgFiles = "test/e2e/testdata/okg/"
	okg      = "e2e-okg"
)

// The existing sidecar's users: the seed's GameServerSet with its rights, its config,
// its curl line, its annotation and its ConfigMap, and pods as OpenKruiseGame's
// controller makes them. Nothing of ours is in it but the sidecar's image.
func TestGameServerSetOfTheSeed(t *testing.T) {
	s := open(t)
	t.Cleanup(s.endOKG)
	owner := s.beginOKG()
	upstream := s.serve("/v2/index.html", "by curl")
	for i := range 2 {
		s.makeGameServer(i, owner)
	}
	pod := s.gameServer(0)
	s.must(s.post(pod.Status.PodIP, "version=v1&url="+upstream))
	s.servesPage(0, "by curl")
	pod = s.gameServer(0)
	if got := pod.Annotations["sidecar.vke.volcengine.com/hot-update-result"]; got != "v1: Update success" {
		t.Errorf("annotation %q", got)
	}
	const none = "hot_update:\n    OriginVersion: OriginUrl\n"
	for name, want := range map[string]string{okg + "-0": none + "    v1: " + upstream + "\n", okg + "-1": none} {
		if got := s.kubectl("-n", "kube-system", "get", "configmap", "sidecar-result", "-o", "jsonpath={.data.default-"+name+"}"); got != want {
			t.Errorf("ConfigMap, %s:\n%s\nwant\n%s", name, got, want)
		}
	}
	for name, want := range map[string]string{"version=latest&url=" + upstream: "please provide a valid version", "version=v2": "please provide a valid URL"} {
		if err := s.post(pod.Status.PodIP, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}

	// The controller makes a game server that is gone again, under its name.
	s.kubectl("-n", stage.Namespace, "delete", "pod", okg+"-0", "--wait", "--grace-period=1")
	s.makeGameServer(0, owner)
	s.servesPage(0, "by curl")
}

// beginOKG applies what the seed's users have, and the controller's StatefulSet.
func (s *scene) beginOKG() *metav1.OwnerReference {
	s.Helper()
	s.makeKinds()
	s.kubectl("apply", "-f", okgFiles+"rbac.yaml", "-f", okgFiles+"gameserverset.yaml")
	advanced := s.child("apps.kruise.io/v1beta1", "StatefulSet", okg, s.owner("game.kruise.io/v1alpha1", "GameServerSet", "gameserversets.game.kruise.io", okg))
	return s.owner("apps.kruise.io/v1beta1", "StatefulSet", "statefulsets.apps.kruise.io", advanced)
}

// makeGameServer makes a pod of the GameServerSet's template as its controllers do:
// named after its number, owned by the advanced StatefulSet, with OpenKruiseGame's
// labels and the gate of in-place updates.
func (s *scene) makeGameServer(number int, owner *metav1.OwnerReference) {
	s.Helper()
	text, err := os.ReadFile(filepath.Join(on.Root, okgFiles, "gameserverset.yaml"))
	s.must(err)
	var set struct {
		Spec struct {
			GameServerTemplate corev1.PodTemplateSpec `json:"gameServerTemplate"`
		} `json:"spec"`
	}
	s.must(yaml.Unmarshal(text, &set))
	name := fmt.Sprintf("%s-%d", okg, number)
	pod := &corev1.Pod{ObjectMeta: set.Spec.GameServerTemplate.ObjectMeta, Spec: set.Spec.GameServerTemplate.Spec}
	pod.Name, pod.Namespace = name, stage.Namespace
	pod.OwnerReferences = []metav1.OwnerReference{*owner}
	for key, value := range map[string]string{
		"game.kruise.io/owner-gss": okg, "game.kruise.io/gs-state": "Creating", "game.kruise.io/gs-opsState": "None",
		"game.kruise.io/gs-update-priority": "0", "game.kruise.io/gs-delete-priority": "0",
		"lifecycle.apps.kruise.io/state": "Normal", "statefulset.kubernetes.io/pod-name": name,
		"apps.kubernetes.io/pod-index": fmt.Sprint(number), "controller-revision-hash": okg + "-5d9c7b8f6",
	} {
		pod.Labels[key] = value
	}
	const inPlace = "InPlaceUpdateReady"
	pod.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: inPlace}}
	pod.Spec.Hostname = name
	_, err = on.Kube.CoreV1().Pods(stage.Namespace).Create(s.ctx, pod, metav1.CreateOptions{})
	s.must(err)
	patch := fmt.Sprintf(`{"status":{"conditions":[{"type":%q,"status":"True"}]}}`, inPlace)
	s.kubectl("-n", stage.Namespace, "patch", "pod", name, "--subresource=status", "--type=strategic", "-p", patch)
	s.kubectl("-n", stage.Namespace, "wait", "--for=condition=Ready", "--timeout=60s", "pod/"+name)
}

func (s *scene) gameServer(number int) *corev1.Pod {
	s.Helper()
	pod, err := on.Kube.CoreV1().Pods(stage.Namespace).Get(s.ctx, fmt.Sprintf("%s-%d", okg, number), metav1.GetOptions{})
	s.must(err)
	return pod
}

// servesPage waits until a game server serves a page.
func (s *scene) servesPage(number int, want string) {
	s.Helper()
	ip := s.gameServer(number).Status.PodIP
	s.must(stage.Eventually(s.ctx, limit, func(ctx context.Context) error {
		got, err := stage.Get(ctx, "http://"+ip+"/")
		if err == nil && got != want {
			err = fmt.Errorf("game server %d serves %.20q", number, got)
		}
		return err
	}))
}

func (s *scene) endOKG() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for _, args := range [][]string{
		{"delete", "pod", "-n", stage.Namespace, "--ignore-not-found", "--wait", "--grace-period=1", "-l", "app=" + okg},
		{"delete", "--ignore-not-found", "-f", okgFiles + "gameserverset.yaml"},
		{"delete", "--ignore-not-found", "-f", targetFiles + "crds.yaml", "-f", okgFiles + "rbac.yaml"},
	} {
		if _, err := on.Kubectl(ctx, args...); err != nil {
			s.Error(err)
		}
	}
}
