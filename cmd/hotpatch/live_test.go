package main

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/rogpeppe/go-internal/testscript"
	corev1 "k8s.io/api/core/v1"

	"hotpatch.dev/hotpatch/reconciler/kube/kubetest"
)

// TestLiveStories run as the others do, with a registry and with a cluster of three
// pods of game, one of which is not ready.
func TestLiveStories(t *testing.T) {
	images := httptest.NewServer(registry.New())
	t.Cleanup(images.Close)
	address := strings.TrimPrefix(images.URL, "http://")
	vars := []string{"REGISTRY=" + address, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=ann", "GIT_AUTHOR_EMAIL=ann@example.org", "GIT_COMMITTER_NAME=ann", "GIT_COMMITTER_EMAIL=ann@example.org"}
	running := ""
	for _, version := range []string{"v1", "v2"} {
		image, err := crane.Image(map[string][]byte{"version": []byte(version)})
		if err != nil {
			t.Fatal(err)
		}
		digest, err := image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		if err := crane.Push(image, address+"/game:"+version); err != nil {
			t.Fatal(err)
		}
		if running == "" {
			running = address + "/game@" + digest.String()
		}
		vars = append(vars, strings.ToUpper(version)+"="+digest.String()[:len("sha256:")+12])
	}
	var pods []*corev1.Pod
	for _, name := range []string{"game-a", "game-b", "game-c"} {
		pod := kubetest.Running(name, "game")
		pod.Spec.NodeName = "node-of-" + name
		for i := range pod.Status.ContainerStatuses {
			pod.Status.ContainerStatuses[i].ImageID = running
		}
		pods = append(pods, pod)
	}
	for i := range pods[1].Status.Conditions {
		pods[1].Status.Conditions[i].Status = corev1.ConditionFalse
	}
	cluster := kubetest.New(t, pods...)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/live", RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Vars = append(e.Vars, append(vars, "CLUSTER="+cluster.Kubeconfig)...)
			return nil
		},
	})
	for _, pod := range cluster.Pods() {
		if pod.ResourceVersion == "" || len(pod.Annotations) > 0 {
			t.Errorf("pod %s has %q: a plan alone changes nothing", pod.Name, pod.Annotations)
		}
	}
}
