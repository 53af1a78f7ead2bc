package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/test/stage"
)

// A workload with the sidecar's component gets its file; the sidecar takes it
// from the reconciler and from nobody else.
func TestComponentAddsTheSidecar(t *testing.T) {
	const games = "test/e2e/testdata/games"
	s := open(t)
	t.Cleanup(s.endGames)
	s.must(on.Apply(s.ctx, games+"/deploy"))
	_, err := on.Kubectl(s.ctx, "-n", "games", "rollout", "status", "deployment/page", "--timeout=60s")
	s.must(err)
	s.must(os.CopyFS(filepath.Join(s.repo.Dir, "games"), os.DirFS(filepath.Join(on.Root, games, "hotpatch"))))
	s.push("The page has a repository now")

	want, err := os.ReadFile(filepath.Join(on.Root, games, "hotpatch/files/index.html"))
	s.must(err)
	ip, err := on.Kubectl(s.ctx, "-n", "games", "get", "pod", "-l", "app=page", "-o", "jsonpath={.items[0].status.podIP}")
	s.must(err)
	s.must(stage.Eventually(s.ctx, limit, func(ctx context.Context) error {
		got, err := stage.Get(ctx, "http://"+ip+"/")
		if err == nil && got != string(want) {
			err = fmt.Errorf("nginx serves %.60q", got)
		}
		return err
	}))
	s.must(stage.Eventually(s.ctx, limit, func(ctx context.Context) error {
		out, err := on.Hotpatch(ctx, "status", "page", "-n", "games", "--repo", stage.RepoURL, "-o", "json")
		if err == nil {
			err = contains(out, `"phase": "Complete"`, `"updated": 1`)
		}
		return err
	}))
	if err := s.post(ip, "version=v9&url="+s.serve("/index.html", "rogue")); err == nil || !strings.Contains(err.Error(), "unauthorized: send a token") {
		t.Errorf("to somebody without a token the sidecar says %v", err)
	}
	if got, err := stage.Get(s.ctx, "http://"+ip+"/"); err != nil || got != string(want) {
		t.Errorf("nginx serves %.60q, %v", got, err)
	}
	s.nextPageHasItsFile(string(want))
}

// nextPageHasItsFile takes the pod away: the next one, of another name, has its
// file before nginx starts, by its workload's record.
func (s *scene) nextPageHasItsFile(want string) {
	s.Helper()
	get := func(args ...string) string {
		out, err := on.Kubectl(s.ctx, append([]string{"-n", "games", "get"}, args...)...)
		s.must(err)
		return out
	}
	const pods = "jsonpath={.items[*].metadata.name}"
	old := get("pod", "-l", "app=page", "-o", pods)
	_, err := on.Kubectl(s.ctx, "-n", "games", "delete", "pod", old, "--wait")
	s.must(err)
	_, err = on.Kubectl(s.ctx, "-n", "games", "rollout", "status", "deployment/page", "--timeout=60s")
	s.must(err)
	ip := get("pod", "-l", "app=page", "-o", "jsonpath={.items[0].status.podIP}")
	if got, err := stage.Get(s.ctx, "http://"+ip+"/"); err != nil || got != want {
		s.Errorf("ready, and nginx serves %.60q, %v", got, err)
	}
	now := get("pod", "-l", "app=page", "-o", pods)
	s.must(stage.Eventually(s.ctx, limit, func(context.Context) error {
		return contains(get("configmap", "-o", "jsonpath={.items[*].data}"), "Deployment_page_"+now)
	}))
}

// endGames takes back what the component's test put on the stage.
func (s *scene) endGames() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s.ctx = ctx
	if err := os.RemoveAll(filepath.Join(s.repo.Dir, "games")); err != nil {
		s.Error(err)
	}
	if err := s.repo.Push(ctx, "No page any more"); err != nil {
		s.Error(err)
	}
	if _, err := on.Kubectl(ctx, "delete", "--wait", "--timeout=50s", "-k", filepath.Join(on.Root, "test/e2e/testdata/games/deploy")); err != nil {
		s.Error(err)
	}
}
