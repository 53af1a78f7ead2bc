package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// The story of examples/window, with a night that is half a day away whenever this is
// run, and servers that need not stand for half an hour.
func TestWindowExampleIsReleasedByNight(t *testing.T) {
	const example, realm = "examples/window", "realm/realm.yaml"
	s := open(t)
	t.Cleanup(s.endRealm)
	s.must(on.Apply(s.ctx, example+"/deploy"))
	_, err := on.Kubectl(s.ctx, "-n", stage.Namespace, "rollout", "status", "deployment/realm", "--timeout=60s")
	s.must(err)
	shanghai, err := time.LoadLocation("Asia/Shanghai")
	s.must(err)
	opens := time.Now().In(shanghai).Add(12 * time.Hour)
	s.must(os.CopyFS(filepath.Join(s.repo.Dir, "realm"), os.DirFS(filepath.Join(on.Root, example, "hotpatch"))))
	s.edit(realm, "0 3 * * *", fmt.Sprintf("0 %d * * *", opens.Hour()))
	s.edit(realm, "minReadySeconds: 1800", "minReadySeconds: 1")
	s.edit(realm, "game-server:v1", "game-server:v2")
	s.push("Release v2 by day")
	s.realmIs(api.PhasePaused, 0, opens.Format("outside of its window; the next opens Mon 2006-01-02 15:00 Asia/Shanghai"))

	before, err := on.Lives(s.ctx, "realm", "main")
	s.must(err)
	s.edit(realm, fmt.Sprintf("0 %d * * *", opens.Hour()), "* * * * *")
	s.push("It is night")
	s.realmIs(api.PhaseComplete, 4, "")
	after, err := on.Lives(s.ctx, "realm", "main")
	s.must(err)
	s.must(stage.SameLives(before, after))
}

// endRealm takes back what the test put on the stage.
func (s *scene) endRealm() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := os.RemoveAll(filepath.Join(s.repo.Dir, "realm")); err != nil {
		s.Error(err)
	}
	if err := s.repo.Push(ctx, "No realm any more"); err != nil {
		s.Error(err)
	}
	if _, err := on.Kubectl(ctx, "delete", "--wait", "--timeout=50s", "-k", filepath.Join(on.Root, "examples/window/deploy")); err != nil {
		s.Error(err)
	}
}

// realmIs waits until the record says so.
func (s *scene) realmIs(phase api.Phase, updated int, message string) {
	s.Helper()
	s.must(stage.Eventually(s.ctx, limit, func(ctx context.Context) error {
		status, err := s.repo.Status(ctx, "realm")
		if err == nil && (status.Phase != phase || status.Counts.Updated != updated || status.Counts.Total != 4 || status.Message != message) {
			err = fmt.Errorf("realm is %s, %d of %d: %s; want %s, %d of 4: %s", status.Phase, status.Counts.Updated, status.Counts.Total, status.Message, phase, updated, message)
		}
		return err
	}))
}
