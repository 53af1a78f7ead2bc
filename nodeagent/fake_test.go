package nodeagent

import (
	"context"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"

	"hotpatch.dev/hotpatch/api"
)

// newPod is a pod with one container as kubelet has made it.
func newPod(name string, annotations map[string]string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: "uid-1", Annotations: annotations},
		Spec:       corev1.PodSpec{NodeName: "node-1", Containers: []corev1.Container{{Name: "main"}}},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "main", ImageID: "r/game@sha256:own"}},
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
}

// newCluster is an API server of one pod.
func newCluster(pod *corev1.Pod) *fake.Clientset { return fake.NewClientset(pod) }

// newFakeAgent has no containerd, and the cluster's pod in its cache.
func newFakeAgent(t *testing.T, kube *fake.Clientset, p puller) *Agent {
	t.Helper()
	a := &Agent{options: Options{NodeName: "node-1"}, kube: kube, metrics: newMetrics(), events: record.NewFakeRecorder(100)}
	a.images = newImages(p, a.metrics)
	a.images.credentials = a.credentials
	a.pods = newPodInformer(kube, "node-1")
	refresh(t, a, kube)
	return a
}

// refresh has the cache hold what the API server does.
func refresh(t *testing.T, a *Agent, kube *fake.Clientset) *corev1.Pod {
	t.Helper()
	pod := getPod(t, kube)
	small, err := trim(pod)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.pods.GetStore().Update(small); err != nil {
		t.Fatal(err)
	}
	return pod
}

func getPod(t *testing.T, kube *fake.Clientset) *corev1.Pod {
	t.Helper()
	pods, err := kube.CoreV1().Pods("default").List(context.Background(), metav1.ListOptions{})
	if err != nil || len(pods.Items) != 1 {
		t.Fatalf("%v, %v", pods, err)
	}
	return &pods.Items[0]
}

// events are the reasons of the events so far; one that was said twice stands
// there twice.
func events(t *testing.T, kube *fake.Clientset) (reasons []string) {
	t.Helper()
	list, err := kube.CoreV1().Events("default").List(context.Background(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list.Items {
		reasons = append(reasons, slices.Repeat([]string{e.Reason}, int(e.Count))...)
	}
	return reasons
}

// told are the reasons of the events of an agent that newFakeAgent has made.
func told(a *Agent) (reasons []string) {
	said := a.events.(*record.FakeRecorder).Events
	for len(said) > 0 {
		reasons = append(reasons, strings.Fields(<-said)[1])
	}
	return reasons
}

func patches(kube *fake.Clientset) (n int) {
	for _, action := range kube.Actions() {
		if action.GetVerb() == "patch" {
			n++
		}
	}
	return n
}

// upToDate is our condition of a pod, nil if it has none.
func upToDate(pod *corev1.Pod) *corev1.PodCondition {
	for i, c := range pod.Status.Conditions {
		if c.Type == api.UpToDateCondition {
			return &pod.Status.Conditions[i]
		}
	}
	return nil
}
