package e2e

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	admission "k8s.io/api/admission/v1"
	registration "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// patience is more than it takes until what was refused is tried again.
const patience = 3 * time.Minute

// strange is an image that no policy here lets in.
const strange = `{"spec":{"containers":[{"name":"main","image":"registry.example:5000/game-server@sha256:0000000000000000000000000000000000000000000000000000000000000000"}]}}`

// A cluster that only runs what it knows: a policy of its own holds a release
// before anything is changed, and lets it go when it is changed itself.
func TestAPolicyHoldsARelease(t *testing.T) {
	s := open(t)
	const words = "only images that are known may run here"
	policies, bindings := on.Kube.AdmissionregistrationV1().ValidatingAdmissionPolicies(), on.Kube.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings()
	end := func() {
		for _, err := range []error{bindings.Delete(s.ctx, "e2e-known", metav1.DeleteOptions{}), policies.Delete(s.ctx, "e2e-known", metav1.DeleteOptions{})} {
			if err != nil && !apierrors.IsNotFound(err) {
				t.Error(err)
			}
		}
	}
	defer end()
	_, err := policies.Create(s.ctx, &registration.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "e2e-known"},
		Spec: registration.ValidatingAdmissionPolicySpec{
			MatchConstraints: &registration.MatchResources{
				ObjectSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "game-server"}},
				ResourceRules:  []registration.NamedRuleWithOperations{{RuleWithOperations: podUpdates()}},
			},
			Validations: []registration.Validation{{Expression: "object.spec.containers.all(c, oldObject.spec.containers.exists(o, o.image == c.image))", Message: words}},
		},
	}, metav1.CreateOptions{})
	s.must(err)
	_, err = bindings.Create(s.ctx, &registration.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "e2e-known"},
		Spec:       registration.ValidatingAdmissionPolicyBindingSpec{PolicyName: "e2e-known", ValidationActions: []registration.ValidationAction{registration.Deny}},
	}, metav1.CreateOptions{})
	s.must(err)
	s.heldBy(words, end)
}

// The same by a webhook, which is only ever asked what would be.
func TestAWebhookHoldsARelease(t *testing.T) {
	s := open(t)
	const words = "game-server: v2 is not signed"
	w := &webhook{words: words}
	server := httptest.NewTLSServer(w)
	defer server.Close()
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	none, fail := registration.SideEffectClassNone, registration.Fail
	hooks := on.Kube.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	end := func() {
		if err := hooks.Delete(s.ctx, "e2e-signed", metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			t.Error(err)
		}
	}
	defer end()
	_, err := hooks.Create(s.ctx, &registration.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "e2e-signed"},
		Webhooks: []registration.ValidatingWebhook{{
			Name: "signed.example.org", ClientConfig: registration.WebhookClientConfig{URL: &server.URL, CABundle: certificate},
			Rules: []registration.RuleWithOperations{podUpdates()}, ObjectSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "game-server"}},
			SideEffects: &none, FailurePolicy: &fail, AdmissionReviewVersions: []string{"v1"},
		}},
	}, metav1.CreateOptions{})
	s.must(err)
	s.heldBy(words, end)
	if real := w.real(); len(real) > 0 {
		t.Errorf("specs were to change: %q", real)
	}
}

func podUpdates() registration.RuleWithOperations {
	return registration.RuleWithOperations{
		Operations: []registration.OperationType{registration.Update},
		Rule:       registration.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
	}
}

// heldBy releases v2 under controls that refuse it, ends them, and sees it go on.
func (s *scene) heldBy(words string, end func()) {
	s.Helper()
	before := s.lives()
	pods, err := on.Pods(s.ctx, "game-server")
	s.must(err)
	s.must(stage.Eventually(s.ctx, limit, func(context.Context) error { // the API server takes its time
		if err := s.try(on.Kube, pods[0].Name, strange); err == nil || !strings.Contains(err.Error(), words) {
			return fmt.Errorf("nothing is refused yet: %v", err)
		}
		return nil
	}))
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.push("Release v2")
	status := s.settled("game-server", api.PhaseDegraded, 0, 8)
	if err := contains(status.Message, "the cluster does not admit the new image", words, "nothing was changed"); err != nil {
		s.Error(err)
	}
	s.nobodyIsAsked()
	s.must(stage.SameLives(before, s.lives()))

	end()
	_, err = on.Settled(s.ctx, s.repo, "game-server", api.PhaseComplete, 8, 8, patience)
	s.must(err)
	s.must(stage.SameLives(before, s.lives()))
	after, err := on.Pods(s.ctx, "game-server")
	s.must(err)
	for i := range after {
		if after[i].Spec.Containers[0].Image != pods[i].Spec.Containers[0].Image {
			s.Errorf("pod %s has another image in its spec: %s", after[i].Name, after[i].Spec.Containers[0].Image)
		}
	}
}

// webhook refuses other images, and notes what was no dry run.
type webhook struct {
	words string
	mu    sync.Mutex
	meant []string
}

func (w *webhook) real() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.meant
}

func (w *webhook) ServeHTTP(out http.ResponseWriter, in *http.Request) {
	var review admission.AdmissionReview
	if err := json.NewDecoder(in.Body).Decode(&review); err != nil || review.Request == nil {
		http.Error(out, "no review", http.StatusBadRequest)
		return
	}
	answer := &admission.AdmissionResponse{UID: review.Request.UID, Allowed: true}
	if is, was := imageOf(review.Request.Object.Raw), imageOf(review.Request.OldObject.Raw); is != was {
		answer.Allowed, answer.Result = false, &metav1.Status{Message: w.words}
		if review.Request.DryRun == nil || !*review.Request.DryRun {
			w.mu.Lock()
			w.meant = append(w.meant, is)
			w.mu.Unlock()
		}
	}
	review.Request, review.Response = nil, answer
	out.Header().Set("Content-Type", "application/json")
	json.NewEncoder(out).Encode(review)
}

func imageOf(raw []byte) string {
	var pod corev1.Pod
	if json.Unmarshal(raw, &pod) != nil || len(pod.Spec.Containers) == 0 {
		return ""
	}
	return pod.Spec.Containers[0].Image
}
