package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// A file that is no YAML, and one with an unknown field: the other HotPatch goes
// on, the last good state stays, the record names file and field.
func TestBadYAMLStopsOnlyItself(t *testing.T) {
	s := open(t)
	before := s.lives()
	s.edit(stage.Policy, "rollout:", "rolout:")
	next := "<html>while the other is broken</html>\n"
	s.must(os.WriteFile(s.repo.Dir+"/"+stage.Page, []byte(next), 0o644))
	s.edit(stage.Filing, "version: v1", "version: v2")
	s.push("A typo")
	s.settled("game-2048", api.PhaseComplete, 2, 2)
	s.says("game-server", stage.Policy, "spec.rolout", "stays in force")

	s.edit(stage.Policy, "  rolout:", "  rollout: [")
	s.push("Worse")
	s.says("game-server", stage.Policy, "line ")
	s.must(stage.SameLives(before, s.lives()))
}

func TestUnknownImageChangesNothing(t *testing.T) {
	s := open(t)
	before := s.lives()
	s.edit(stage.Images, "newTag: v1", "newTag: v99")
	s.push("An image that nobody built")
	s.says("game-server", "game-server:v99")
	s.must(stage.SameLives(before, s.lives()))
	pods, err := on.Pods(s.ctx, "game-server")
	s.must(err)
	for _, pod := range pods {
		if o, err := stage.Observed(pod); err != nil || o.Containers[0].State != api.StateRestored {
			t.Errorf("pod %s was touched: %+v, %v", pod.Name, o, err)
		}
	}
}

func TestTwoPushesEndAtTheNewest(t *testing.T) {
	s := open(t)
	before, crowd := s.lives(), s.gather()
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.push("v2")
	s.edit(stage.Images, "newTag: v2", "newTag: v3")
	s.push("v3, at once")
	s.settled("game-server", api.PhaseComplete, 8, 8)
	s.must(stage.SameLives(before, s.lives()))
	if got := s.versions(crowd); got["v3"] != 32 {
		t.Errorf("connections are served by %v, want 32 by v3", got)
	}
}

// The agent dies in the middle of a swap, before, at and after the point of no
// return; the next one finishes what it finds.
func TestAgentKilledMidSwap(t *testing.T) {
	s := open(t)
	t.Cleanup(func() { s.agentDiesAt("") })
	before, crowd := s.lives(), s.gather()
	for i, step := range []string{"stop", "pivot", "release"} {
		from, to := fmt.Sprintf("newTag: v%d", i%2+1), fmt.Sprintf("newTag: v%d", (i+1)%2+1)
		s.agentDiesAt(step)
		s.edit(stage.Images, from, to)
		s.push("A release while the agent dies at " + step)
		s.must(stage.Eventually(s.ctx, limit, s.agentDied))
		s.oneView()
		s.agentDiesAt("")
		s.settled("game-server", api.PhaseComplete, 8, 8)
		s.must(stage.SameLives(before, s.lives()))
		if got := s.versions(crowd); got[to[len(to)-2:]] != 32 {
			t.Errorf("killed at %s: connections are served by %v, want 32 by %s", step, got, to)
		}
		s.oneView()
	}
}

// oneView checks that a command executed in a container sees the same image as
// its first process, wherever a swap stands.
func (s *scene) oneView() {
	s.Helper()
	for _, life := range s.lives() {
		s.must(stage.Eventually(s.ctx, limit, func(ctx context.Context) error {
			swapped, err := on.SameView(ctx, life)
			s.must(err)
			if swapped {
				return fmt.Errorf("pod %s was swapped meanwhile", life.Pod)
			}
			return nil
		}))
	}
}

// agentDiesAt has agents kill themselves after a step of a swap; "" heals them.
func (s *scene) agentDiesAt(step string) {
	s.Helper()
	setting := "HOTPATCH_TEST_KILL_AT=" + step
	if step == "" {
		setting = "HOTPATCH_TEST_KILL_AT-"
	}
	_, err := on.Kubectl(s.ctx, "-n", stage.System, "set", "env", "daemonset/hotpatch-agent", "-c", "agent", setting)
	s.must(err)
	_, err = on.Kubectl(s.ctx, "-n", stage.System, "rollout", "status", "daemonset/hotpatch-agent", "--timeout=60s")
	s.must(err)
}

func (s *scene) agentDied(ctx context.Context) error {
	list, err := on.Kube.CoreV1().Pods(stage.System).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=hotpatch-agent"})
	if err != nil {
		return err
	}
	for _, pod := range list.Items {
		for _, c := range pod.Status.ContainerStatuses {
			if c.RestartCount > 0 && pod.DeletionTimestamp == nil {
				return nil
			}
		}
	}
	return fmt.Errorf("no agent has died")
}

// Someone else commits to the status branch: their file stays, and our results
// land on top.
func TestStatusBranchMovedByOthers(t *testing.T) {
	s := open(t)
	_, err := s.repo.Git(s.ctx, "fetch", "-q", "origin")
	s.must(err)
	for _, args := range [][]string{
		{"checkout", "-q", "-B", "other", "origin/hotpatch-status"},
		{"commit", "-q", "--allow-empty", "-m", "A note of ours"},
	} {
		_, err := s.repo.Git(s.ctx, args...)
		s.must(err)
	}
	s.must(os.WriteFile(s.repo.Dir+"/NOTES.md", []byte("ours\n"), 0o644))
	for _, args := range [][]string{
		{"add", "NOTES.md"}, {"commit", "-q", "-m", "Notes"}, {"push", "-q", "origin", "HEAD:hotpatch-status"}, {"checkout", "-q", "main"},
	} {
		_, err := s.repo.Git(s.ctx, args...)
		s.must(err)
	}
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.push("v2 on top of notes")
	s.settled("game-server", api.PhaseComplete, 8, 8)
	if out, err := s.repo.Git(s.ctx, "show", "origin/hotpatch-status:NOTES.md"); err != nil || out != "ours" {
		t.Errorf("the others' file is %q, %v", out, err)
	}
}

// says waits until the record is Degraded with all these words.
func (s *scene) says(name string, words ...string) {
	s.Helper()
	s.must(stage.Eventually(s.ctx, limit, func(ctx context.Context) error {
		status, err := s.repo.Status(ctx, name)
		if err != nil {
			return err
		}
		for _, word := range words {
			if status.Phase != api.PhaseDegraded || !strings.Contains(status.Message, word) {
				return fmt.Errorf("the record says %s: %q; want Degraded with %q", status.Phase, status.Message, word)
			}
		}
		return nil
	}))
}

// serve serves one document on the nodes' own address, where pods reach it.
func (s *scene) serve(path, content string) (url string) {
	s.Helper()
	listener, err := net.Listen("tcp", "10.246.0.1:0")
	s.must(err)
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, content) })
	server := &http.Server{Handler: mux}
	go server.Serve(listener)
	s.Cleanup(func() { server.Close() })
	return "http://" + listener.Addr().String() + path
}
