package e2e

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// What `hotpatch plan` tells of a change that is not pushed yet is what the push
// then does; before and after, there is nothing to do.
func TestPlanTellsWhatAPushWouldDo(t *testing.T) {
	s := open(t)
	before := s.lives()
	s.plans(0, "8 of 8 pods should be on it", "8 are", "nothing would change now")

	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.edit(stage.Policy, "partition: 0", "partition: 3")
	s.plans(2, "game-server:v2 on Deployment game-server", "prepare game-server-", "5 of 8 pods should be on it (partition 3), 0 are")
	s.must(stage.SameLives(before, s.lives()))
	s.nobodyIsAsked()

	s.push("Release v2")
	s.settled("game-server", api.PhasePaused, 5, 8)
	s.saysWhy("main is on registry.example:5000/game-server@sha256:", "; reason: 5 of 8 pods should be on it, ")
	s.plans(0, "5 of 8 pods should be on it (partition 3), 5 are", "nothing would change now")

	s.edit(stage.Policy, "partition: 3", "partition: 0")
	s.plans(2, "apply game-server-", "8 of 8 pods should be on it")

	s.edit(stage.Policy, "partition: 0", "partition: -1")
	s.plans(3, "spec.rollout.partition")
}

// saysWhy: an event of some pod has all of these words, the plan's reason among them.
func (s *scene) saysWhy(words ...string) {
	s.Helper()
	s.must(stage.Eventually(s.ctx, 20*time.Second, func(context.Context) error {
		said := s.kubectl("-n", stage.Namespace, "get", "events", "--field-selector", "reason="+api.EventPatched, "-o", `jsonpath={range .items[*]}{.message}{"\n"}{end}`)
		if !tells(said, words...) {
			return fmt.Errorf("no event has all of %q:\n%s", words, said)
		}
		return nil
	}))
}

// nobodyIsAsked: a plan alone has pods prepare nothing.
func (s *scene) nobodyIsAsked() {
	s.Helper()
	pods, err := on.Pods(s.ctx, "game-server")
	s.must(err)
	for _, pod := range pods {
		if pod.Annotations[api.PrepareAnnotation] != "" {
			s.Errorf("pod %s was asked to prepare", pod.Name)
		}
	}
}

// plans runs `hotpatch plan` on the clone as it stands.
func (s *scene) plans(exit int, words ...string) {
	s.Helper()
	out, err := on.Hotpatch(s.ctx, "plan", filepath.Join(s.repo.Dir, "hot-patch/hotpatch"), "--repo", stage.RepoURL, "--kubeconfig", on.Kubeconfig(),
		"--registry-alias", "registry.example:5000=127.0.0.1:5000", "--insecure-registries", "127.0.0.1:5000")
	code := 0
	if ended := (&exec.ExitError{}); errors.As(err, &ended) {
		code = ended.ExitCode()
	} else if err != nil {
		s.Fatal(err)
	}
	if code != exit {
		s.Errorf("plan ends with %d, want %d:\n%s", code, exit, out)
	}
	if err := contains(out, words...); err != nil {
		s.Error(err)
	}
}

func contains(text string, words ...string) error {
	for _, word := range words {
		if !strings.Contains(text, word) {
			return fmt.Errorf("%q is missing in:\n%s", word, text)
		}
	}
	return nil
}
