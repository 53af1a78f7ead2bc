package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// One server goes ahead until a person lets the others follow; in between the
// reconciler dies. All of it goes through Git.
func TestStepsWaitUntilSomebodyPromotes(t *testing.T) {
	s := open(t)
	before, crowd := s.lives(), s.gather()
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.edit(stage.Policy, "  rollout:\n", "  rollout:\n    steps: [{partition: 7}, {pause: {}}, {partition: 50%}, {pause: {duration: 3s}}]\n")
	s.push("Release v2 step by step")
	status := s.settled("game-server", api.PhasePaused, 1, 8)
	if status.Message != "step 2 of 4: paused until somebody runs hotpatch promote game-server" {
		t.Errorf("the record says %q", status.Message)
	}
	_, err := on.Kubectl(s.ctx, "-n", stage.System, "delete", "pod", "-l", "app.kubernetes.io/name=hotpatch-reconciler", "--grace-period=0", "--force")
	s.must(err)
	s.must(reconcilerListens(s.ctx))
	s.plans(0, "step 2 of 4", "nothing would change now")

	s.hotpatch("promote", "game-server", "--push")
	s.settled("game-server", api.PhaseComplete, 8, 8)
	s.hotpatch("watch", "game-server") // it has ended well
	s.must(stage.SameLives(before, s.lives()))
	if got := s.versions(crowd); got["v2"] != 32 {
		t.Errorf("connections are served by %v, want 32 by v2", got)
	}
	story := s.hotpatch("history", "game-server")
	for _, words := range [][]string{{"v2", "1/8", "step 2 of 4"}, {"v2", "4/8", "step 4 of 4"}, {"v2", "8/8"}} {
		if !tells(story, words...) {
			t.Errorf("the history does not tell of %q:\n%s", words, story)
		}
	}
}

// A pause of some time ends when it would have ended, though reconciler and agent are
// others by then.
func TestAPauseIsCountedFromWhenItBegan(t *testing.T) {
	const lasts = 25 * time.Second
	s := open(t)
	before := s.lives()
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.edit(stage.Policy, "  rollout:\n", fmt.Sprintf("  rollout:\n    steps: [{partition: 7}, {pause: {duration: %s}}]\n", lasts))
	s.push("Release v2 to one, and in a while to all")
	began := s.settled("game-server", api.PhasePaused, 1, 8).Progress.Since
	s.dies("hotpatch-agent", "hotpatch-reconciler")
	other := s.leads().Truncate(time.Second)
	s.plans(0, "step 2 of 2: paused until "+began.Add(lasts).Format("Mon 2006-01-02 15:04:05 UTC"), "nothing would change now")

	s.settled("game-server", api.PhaseComplete, 8, 8)
	var changed []time.Time
	pods, err := on.Pods(s.ctx, "game-server")
	s.must(err)
	for _, pod := range pods {
		o, err := stage.Observed(pod)
		s.must(err)
		changed = append(changed, o.Containers[0].Time)
	}
	slices.SortFunc(changed, time.Time.Compare)
	if second := changed[1]; second.Before(began.Add(lasts)) || !second.Before(other.Add(lasts)) {
		t.Errorf("a pause of %s began at %s, another reconciler went on at %s, and the second server changed at %s", lasts, began, other, second)
	}
	s.must(stage.SameLives(before, s.lives()))
}

// dies ends programs of ours with no time for a last word, and their pods, and waits
// until others are in their place.
func (s *scene) dies(programs ...string) {
	s.Helper()
	pods, now := on.Kube.CoreV1().Pods(stage.System), int64(0)
	for _, program := range programs {
		those := metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + program}
		before, err := pods.List(s.ctx, those)
		s.must(err)
		for _, pod := range before.Items {
			s.must(stage.Kill(pod))
		}
		s.must(pods.DeleteCollection(s.ctx, metav1.DeleteOptions{GracePeriodSeconds: &now}, those))
		s.must(stage.Eventually(s.ctx, limit, func(ctx context.Context) error {
			after, err := pods.List(ctx, those)
			if err == nil && len(after.Items) != len(before.Items) {
				err = fmt.Errorf("there are %d pods of %s, want %d", len(after.Items), program, len(before.Items))
			}
			if err != nil {
				return err
			}
			for _, pod := range after.Items {
				if st := pod.Status.ContainerStatuses; len(st) == 0 || !st[0].Ready || slices.ContainsFunc(before.Items, func(p corev1.Pod) bool { return p.UID == pod.UID }) {
					return fmt.Errorf("pod %s is not ready, or not another", pod.Name)
				}
			}
			return nil
		}))
	}
	s.must(reconcilerListens(s.ctx))
}

// leads waits until a reconciler that runs works, and says since when.
func (s *scene) leads() (since time.Time) {
	s.Helper()
	s.must(stage.Eventually(s.ctx, limit, func(ctx context.Context) error {
		lease, err := on.Kube.CoordinationV1().Leases(stage.System).Get(ctx, "hotpatch-reconciler", metav1.GetOptions{})
		if err != nil {
			return err
		}
		_, err = on.Kube.CoreV1().Pods(stage.System).Get(ctx, *lease.Spec.HolderIdentity, metav1.GetOptions{})
		since = lease.Spec.AcquireTime.Time
		return err
	}))
	return since
}

// tells is whether a line of a history has all of these words.
func tells(story string, words ...string) bool {
	for line := range strings.Lines(story) {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			return true
		}
	}
	return false
}

// Somebody holds a release and lets it go by commands that make the commits; the
// image stands in a kustomization, which rollback leaves to git revert.
func TestCommandsMakeTheCommits(t *testing.T) {
	s := open(t)
	s.hotpatch("suspend", "game-server", "--push")
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.edit(stage.Policy, "partition: 0 ", "partition: 3 ")
	s.push("Release v2 to five, while all is held")
	s.settled("game-server", api.PhasePaused, 0, 8)
	s.hotpatch("resume", "game-server", "--push")
	s.settled("game-server", api.PhasePaused, 5, 8)

	_, err := stage.Run(s.ctx, s.repo.Dir, s.program(), "rollback", "game-server", "--push")
	if err == nil || !strings.Contains(err.Error(), "git revert") {
		t.Errorf("rollback of an image that a kustomization sets: %v", err)
	}
}

// hotpatch runs the CLI in the clone, as the person does whose clone it is.
func (s *scene) hotpatch(args ...string) string {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, limit)
	defer cancel()
	out, err := stage.Run(ctx, s.repo.Dir, s.program(), args...)
	s.must(err)
	return out
}

func (s *scene) program() string { return filepath.Join(on.Root, "bin/hotpatch") }
