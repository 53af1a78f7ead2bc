package reconciler

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/gitsource/gittest"
	"hotpatch.dev/hotpatch/reconciler/kube"
)

// restoring is a HotPatch that takes back what it asked for when it is deleted.
func restoring(name, image string) map[string]string {
	text := strings.Replace(manifest(image)["games/game.yaml"], "metadata: {name: game,", "metadata: {name: "+name+",", 1)
	return map[string]string{"games/" + name + ".yaml": text + "  onDelete: Restore\n"}
}

// elsewhere has the repository hold something, so that it still renders.
func elsewhere() map[string]string {
	return map[string]string{"games/other.yaml": strings.ReplaceAll(manifest("c")["games/game.yaml"], "game", "other")}
}

// onlyGames are the pods of one workload; others have none.
type onlyGames struct{ *obedient }

func (o onlyGames) Pods(scope kube.Scope) ([]kube.Pod, error) {
	if scope.Selector != "app=game" {
		return nil, nil
	}
	return o.obedient.Pods(scope)
}

// asked are the images that pods were told of last.
func (o *obedient) asked() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	counts := map[string]int{}
	for _, p := range o.pods {
		for _, c := range p.Desired.Containers {
			counts[c.Image]++
		}
	}
	return fmt.Sprint(counts)
}

func TestDeletedHotPatchTakesBackItsImages(t *testing.T) {
	for name, away := range map[string]bool{"while it is followed": false, "while nobody leads": true} {
		t.Run(name, func(t *testing.T) {
			repo, cluster := gittest.NewRepo(t), onlyGames{newObedient(4)}
			repo.Commit(restoring("game", "a"), "release v1")
			r, stop := lead(t, repo, "hotpatch-status", cluster)
			eventually(t, "v1 on all", func() bool { return recorded(t, repo).Phase == api.PhaseComplete })
			if away {
				stop()
			}
			repo.Git("rm", "-q", "games/game.yaml")
			repo.Commit(elsewhere(), "no game any more")
			if away {
				r, _ = lead(t, repo, "hotpatch-status", cluster)
			}
			r.pollNow()
			eventually(t, "its end in Git", func() bool { return repo.Show("hotpatch-status", record) == "" })
			if got := cluster.asked(); got != "map[:4]" {
				t.Errorf("pods were asked for %s, want their own images", got)
			}
			if log := strings.Join(repo.Log("hotpatch-status"), "\n"); !strings.Contains(log, "game: 4 of 4 on their own image") {
				t.Errorf("log:\n%s", log)
			}
		})
	}
}

func TestPodsThatAnotherHotPatchTakesOverAreNotRestored(t *testing.T) {
	repo, cluster := gittest.NewRepo(t), newObedient(4)
	repo.Commit(restoring("game", "a"), "release v1")
	r, _ := lead(t, repo, "hotpatch-status", cluster)
	eventually(t, "v1 on all", func() bool { return recorded(t, repo).Phase == api.PhaseComplete })
	repo.Git("mv", "games/game.yaml", "games/renamed.yaml")
	repo.Commit(restoring("renamed", "a"), "another name")
	r.pollNow()
	eventually(t, "the end of the old one", func() bool { return repo.Show("hotpatch-status", record) == "" })
	eventually(t, "the new one", func() bool {
		return strings.Contains(repo.Show("hotpatch-status", "clusters/box/default/renamed.yaml"), "phase: Complete")
	})
	if cluster.told("a") != 4 {
		t.Errorf("pods were asked for %s", cluster.asked())
	}
}

func TestDeletedBeforeItsTargetNeedsNothing(t *testing.T) {
	repo, cluster := gittest.NewRepo(t), &withoutTarget{obedient: newObedient(1)}
	repo.Commit(restoring("game", "a"), "release v1")
	r, _ := lead(t, repo, "hotpatch-status", cluster)
	eventually(t, "v1", func() bool { return recorded(t, repo).Phase == api.PhaseComplete })
	cluster.mu.Lock()
	cluster.gone = true
	cluster.mu.Unlock()
	repo.Git("rm", "-q", "games/game.yaml")
	repo.Commit(elsewhere(), "no game any more")
	r.pollNow()
	eventually(t, "its end in Git", func() bool { return repo.Show("hotpatch-status", record) == "" })
}

// withoutTarget has no workloads once they are gone.
type withoutTarget struct {
	*obedient
	gone bool
}

func (c *withoutTarget) Scope(ctx context.Context, namespace string, target api.Target) (kube.Scope, error) {
	c.mu.Lock()
	gone := c.gone
	c.mu.Unlock()
	if gone {
		return kube.Scope{}, fmt.Errorf("%w %s in namespace %s", kube.ErrNoTarget, target, namespace)
	}
	return c.obedient.Scope(ctx, namespace, target)
}
