package reconciler

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"hotpatch.dev/hotpatch/gitsource/gittest"
	"hotpatch.dev/hotpatch/reconciler/kube"
	"hotpatch.dev/hotpatch/reconciler/kube/kubetest"
)

// secretFile is one for a test.
func secretFile(t *testing.T, secret string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// standsBy is a process that never leads, with a leader on the same port as its own.
func standsBy(t *testing.T, port string, leader func(context.Context) (string, error)) (*Reconciler, *httptest.Server) {
	t.Helper()
	r := newProcess(&scripted{})
	r.options.LeaderElect, r.options.Branch, r.options.Listen = true, "main", ":"+port
	r.options.WebhookSecretFile, r.options.TriggerTokenFile = secretFile(t, hookSecret), secretFile(t, "t0ken")
	r.follower = &follower{metrics: r.metrics, poll: newTrigger()}
	r.standby = newStandby(r.options, leader)
	server := httptest.NewServer(r.endpoints())
	t.Cleanup(server.Close)
	return r, server
}

// asks are the two ways to have the Git server polled.
func asks(t *testing.T, server *httptest.Server) map[string]*http.Request {
	t.Helper()
	hook, err := http.NewRequest("POST", server.URL+"/webhook", strings.NewReader(`{"ref":"refs/heads/main"}`))
	if err != nil {
		t.Fatal(err)
	}
	hook.Header.Set("X-Gitlab-Token", hookSecret)
	hook.Header.Set("X-Gitlab-Event-UUID", "1")
	trigger, err := http.NewRequest("POST", server.URL+"/trigger", nil)
	if err != nil {
		t.Fatal(err)
	}
	trigger.Header.Set("Authorization", "Bearer t0ken")
	return map[string]*http.Request{"webhook": hook, "trigger": trigger}
}

func ask(t *testing.T, r *http.Request) *http.Response {
	t.Helper()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer
}

// Who stands by says "polling" of no poll that nobody makes, and does not remember a
// delivery that it could not pass on: sent again, it counts.
func TestAStandbyClaimsNoPoll(t *testing.T) {
	r, server := standsBy(t, "1", func(context.Context) (string, error) { return "", errors.New("nobody holds the lease") })
	for by, request := range asks(t, server) {
		if answer := ask(t, request); answer.StatusCode != 503 || answer.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %s, to be sent again after %q", by, answer.Status, answer.Header.Get("Retry-After"))
		}
	}
	if lines := r.shown(t, `hotpatch_webhooks_total{result="failed"} 1`); len(lines) != 1 {
		t.Error("the webhook is not counted as failed")
	}
	if r.follower.poll.take() != 0 {
		t.Error("a poll waits for a process that may never lead")
	}
	r.leads.Store(true)
	for by, request := range asks(t, server) {
		if answer := ask(t, request); answer.StatusCode != 202 || r.follower.poll.take() == 0 {
			t.Errorf("%s, of the leader: %s", by, answer.Status)
		}
	}
}

// Two that take each other for the leader do not ask each other for ever.
func TestWhatWasPassedOnIsNotPassedOnAgain(t *testing.T) {
	asked := 0
	leader := func(context.Context) (string, error) { asked++; return "127.0.0.1", nil }
	r, server := standsBy(t, "1", leader)
	_, r.standby.port, _ = net.SplitHostPort(server.Listener.Addr().String()) // it takes itself for the leader
	for by, request := range asks(t, server) {
		if answer := ask(t, request); answer.StatusCode != 503 {
			t.Errorf("%s: %s", by, answer.Status)
		}
	}
	if asked != 2 {
		t.Errorf("it was asked %d times who leads, want 2", asked)
	}
}

// A forge and a person who come to the standby, as half of them do by the Service, have
// the leader poll: its pod is found by the Lease, through an API server.
func TestTheLeaderPollsForAStandby(t *testing.T) {
	repo := gittest.NewRepo(t)
	repo.Commit(manifest("a"), "release v1")
	leader, _ := lead(t, repo, "hotpatch-status", &scripted{pods: []kube.Pod{gamePod()}}, func(r *Reconciler) {
		r.options.TriggerTokenFile = secretFile(t, "t0ken")
	})
	eventually(t, "a record", func() bool { return repo.Show("hotpatch-status", record) != "" })
	server := kubetest.New(t, kubetest.Running("reconciler-0", "reconciler"))
	listener, err := net.Listen("tcp", server.Pods()[0].Status.PodIP+":0")
	if err != nil {
		t.Fatal(err)
	}
	leading := &httptest.Server{Listener: listener, Config: &http.Server{Handler: leader.endpoints()}}
	leading.Start()
	t.Cleanup(leading.Close)
	cluster := leaseHeld(t, server, "reconciler-0")
	_, port, _ := net.SplitHostPort(listener.Addr().String())

	_, standby := standsBy(t, port, func(ctx context.Context) (string, error) { return cluster.Leader(ctx, kubetest.Namespace) })
	for by, request := range asks(t, standby) {
		lists := repo.Server.Seen(gittest.ListForFetch)
		if answer := ask(t, request); answer.StatusCode != 202 {
			t.Errorf("%s: %s", by, answer.Status)
		}
		eventually(t, "a poll by the leader", func() bool { return repo.Server.Seen(gittest.ListForFetch) > lists })
	}
}

// leaseHeld has a name hold the lease until the test ends.
func leaseHeld(t *testing.T, server *kubetest.Server, name string) *kube.Cluster {
	t.Helper()
	cluster, err := kube.Connect(server.Kubeconfig, func(kube.Scope) {})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	led, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- cluster.Lead(ctx, kubetest.Namespace, name, func(ctx context.Context) error {
			close(led)
			<-ctx.Done()
			return nil
		})
	}()
	<-led
	t.Cleanup(func() { stop(); <-ended })
	return cluster
}

func TestWhoLeadsIsSaidOrWhyNot(t *testing.T) {
	server := kubetest.New(t, kubetest.Running("reconciler-0", "reconciler"))
	cluster, err := kube.Connect(server.Kubeconfig, func(kube.Scope) {})
	if err != nil {
		t.Fatal(err)
	}
	says := func(host, want string) {
		t.Helper()
		got, err := cluster.Leader(t.Context(), kubetest.Namespace)
		if got != host || (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q, %v; want %q, %q", got, err, host, want)
		}
	}
	says("", "not found")
	leaseHeld(t, server, "reconciler-0")
	says("127.0.0.2", "")
	server.Update("reconciler-0", func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed })
	says("", "reconciler-0, who leads, does not run")
}
