package e2e

import (
	"strings"
	"testing"

	authentication "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"hotpatch.dev/hotpatch/test/stage"
)

// agentToken is a token of an agent: as its pod has one, or bound to nothing.
func (s *scene) agentToken(bound *authentication.BoundObjectReference) kubernetes.Interface {
	s.Helper()
	request := &authentication.TokenRequest{Spec: authentication.TokenRequestSpec{BoundObjectRef: bound}}
	answer, err := on.Kube.CoreV1().ServiceAccounts(stage.System).CreateToken(s.ctx, "hotpatch-agent", request, metav1.CreateOptions{})
	s.must(err)
	client, err := on.As(answer.Status.Token)
	s.must(err)
	return client
}

// stolen is what somebody has who read the token in the pod of a node's agent.
func (s *scene) stolen(node string) kubernetes.Interface {
	s.Helper()
	agents, err := on.Kube.CoreV1().Pods(stage.System).List(s.ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=hotpatch-agent", FieldSelector: "spec.nodeName=" + node})
	s.must(err)
	if len(agents.Items) == 0 {
		s.Fatalf("no agent runs on %s", node)
	}
	pod := agents.Items[0]
	return s.agentToken(&authentication.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID})
}

// try patches a pod as somebody would, without anything being stored.
func (s *scene) try(thief kubernetes.Interface, pod, patch string, subresources ...string) error {
	_, err := thief.CoreV1().Pods(stage.Namespace).Patch(s.ctx, pod, types.StrategicMergePatchType, []byte(patch),
		metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}}, subresources...)
	return err
}

func TestAStolenAgentTokenIsWorthLittle(t *testing.T) {
	s := open(t)
	pods, err := on.Pods(s.ctx, "game-server")
	s.must(err)
	thief, pod := s.stolen(pods[0].Spec.NodeName), pods[0].Name
	const asAgentsDo = `{"metadata":{"annotations":{"hotpatch.dev/observed":"{}"},"labels":{"hotpatch.dev/revision":"x"}},"status":{"conditions":[{"type":"hotpatch.dev/UpToDate","status":"False"}]}}`
	if err := s.try(thief, pod, asAgentsDo, "status"); err != nil {
		t.Errorf("an agent may not work: %v", err)
	}
	for patch, want := range map[string]string{
		`{"metadata":{"annotations":{"hotpatch.dev/desired":"{}"}}}`:    "only change the annotation hotpatch.dev/observed",
		`{"metadata":{"annotations":{"other":"x"}}}`:                    "only change the annotation",
		`{"metadata":{"labels":{"app":"mine"}}}`:                        "only change the label",
		`{"metadata":{"labels":{"app":null}}}`:                          "only change the label",
		`{"metadata":{"finalizers":["thief.example/forever"]}}`:         "finalizers",
		`{"status":{"conditions":[{"type":"Ready","status":"False"}]}}`: "only change the condition",
		`{"status":{"phase":"Failed"}}`:                                 "status.phase",
		`{"status":{"podIP":"10.0.0.1"}}`:                               "status.podIP",
		`{"status":{"hostIP":"10.0.0.1"}}`:                              "status.hostIP",
		`{"status":{"message":"mine"}}`:                                 "status.message",
		`{"status":{"reason":"Evicted"}}`:                               "status.reason",
		`{"status":{"startTime":"2020-01-01T00:00:00Z"}}`:               "status.startTime",
		`{"status":{"containerStatuses":[{"name":"main","image":"x","imageID":"x","ready":false,"restartCount":7}]}}`: "status.containerStatuses",
	} {
		if err := s.try(thief, pod, patch, "status"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want a refusal with %q", patch, err, want)
		}
	}
	s.refused(thief, pod)
}

// refused tries what RBAC has to refuse.
func (s *scene) refused(thief kubernetes.Interface, pod string) {
	s.Helper()
	attempts := map[string]error{
		"patch a pod":  s.try(thief, pod, `{"metadata":{"annotations":{"hotpatch.dev/observed":"{}"}}}`),
		"ephemeral":    s.try(thief, pod, `{"spec":{"ephemeralContainers":[{"name":"x","image":"x"}]}}`, "ephemeralcontainers"),
		"delete a pod": thief.CoreV1().Pods(stage.Namespace).Delete(s.ctx, pod, metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}),
	}
	_, attempts["list secrets"] = thief.CoreV1().Secrets(stage.System).List(s.ctx, metav1.ListOptions{})
	_, attempts["list nodes"] = thief.CoreV1().Nodes().List(s.ctx, metav1.ListOptions{})
	_, attempts["make a pod"] = thief.CoreV1().Pods(stage.Namespace).Create(s.ctx, elsewhere(), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	for what, err := range attempts {
		if err == nil || !strings.Contains(err.Error(), "forbidden") {
			s.Errorf("%s: %v, want it forbidden", what, err)
		}
	}
}

// elsewhere is a pod of a node that is not there.
func elsewhere() *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "elsewhere-", Namespace: stage.Namespace},
		Spec: corev1.PodSpec{NodeName: "elsewhere", Containers: []corev1.Container{{Name: "main", Image: "registry.invalid/none"}}}}
}

func TestAnAgentTouchesNoPodOfAnotherNode(t *testing.T) {
	s := open(t)
	const patch = `{"metadata":{"annotations":{"hotpatch.dev/observed":"{}"}}}`
	pod, err := on.Kube.CoreV1().Pods(stage.Namespace).Create(s.ctx, elsewhere(), metav1.CreateOptions{})
	s.must(err)
	defer func() {
		now := int64(0)
		s.must(on.Kube.CoreV1().Pods(stage.Namespace).Delete(s.ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &now}))
	}()
	pods, err := on.Pods(s.ctx, "game-server")
	s.must(err)
	if err := s.try(s.stolen(pods[0].Spec.NodeName), pod.Name, patch, "status"); err == nil || !strings.Contains(err.Error(), "only touch pods of its own node") {
		t.Errorf("a pod of another node: %v", err)
	}
	if err := s.try(s.agentToken(nil), pods[0].Name, patch, "status"); err == nil || !strings.Contains(err.Error(), "only touch pods of its own node") {
		t.Errorf("with a token that is bound to no node: %v", err)
	}
}
