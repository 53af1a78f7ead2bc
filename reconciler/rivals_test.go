package reconciler

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/gitsource/gittest"
	"hotpatch.dev/hotpatch/reconciler/kube/kubetest"
)

// statusOf is what a cluster's record of the game says.
func statusOf(t *testing.T, repo *gittest.Repo, cluster string) (s api.HotPatchStatus) {
	t.Helper()
	file := "clusters/" + cluster + "/default/game.yaml"
	if text := repo.Show("hotpatch-status", file); text != "" {
		var err error
		if s, err = api.DecodeStatus(file, []byte(text)); err != nil {
			t.Error(err)
		}
	}
	return s
}

// tells is how often pods were told of each revision, by the revision.
func (a *agents) tells() map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	count := map[string]int{}
	for _, told := range a.told {
		_, revision, _ := strings.Cut(told, " ")
		count[revision]++
	}
	return count
}

// rivals are two real reconcilers of two sources that want the same pods.
type rivals struct {
	*testing.T
	program string
	cluster *agents
	repos   map[string]*gittest.Repo // by the name of the reconciler
}

func newRivals(t *testing.T, program string, pods ...*corev1.Pod) *rivals {
	r := &rivals{t, program, obedientAgents(t, pods...), map[string]*gittest.Repo{"games": gittest.NewRepo(t), "tools": gittest.NewRepo(t)}}
	r.repos["games"].Commit(manifest("a"), "release a")
	r.repos["tools"].Commit(manifest("b"), "release b")
	return r
}

func (r *rivals) run(who string) *process {
	return run(r.T, r.program, who, r.repos[who], r.cluster.Server)
}

// has tells whether one of them has so many pods, and all are on its revision.
func (r *rivals) has(who string, pods int) bool {
	s := statusOf(r.T, r.repos[who], who)
	return s.Phase == api.PhaseComplete && s.Counts.Updated == pods && s.Counts.Total == pods
}

func (r *rivals) refused(who, by string) bool {
	s := statusOf(r.T, r.repos[who], who)
	return s.Phase == api.PhaseDegraded && strings.Contains(s.Message, "is held by another reconciler: it follows HotPatch default/game of "+r.repos[by].URL+", cluster "+by+", in namespace of-"+by)
}

// rest checks that nothing goes on, and that no pod was told anything twice.
func (r *rivals) rest() {
	r.Helper()
	tells := fmt.Sprint(r.cluster.tells())
	time.Sleep(500 * time.Millisecond)
	if now := fmt.Sprint(r.cluster.tells()); now != tells {
		r.Errorf("it does not come to rest: pods were told %s, then %s", tells, now)
	}
	if twice := r.cluster.twice(); len(twice) > 0 {
		r.Errorf("pods were told again what they had been told: %q", twice)
	}
	for who, repo := range r.repos {
		if log := repo.Log("hotpatch-status"); len(slices.Compact(slices.Clone(log))) != len(log) {
			r.Errorf("%s says again: %q", who, log)
		}
	}
}

func fourPods() (pods []*corev1.Pod) {
	for i := range 4 {
		pods = append(pods, kubetest.Running(fmt.Sprint("game-", i), "game"))
	}
	return pods
}

func TestPodsFollowOneOfTwoReconcilers(t *testing.T) {
	t.Parallel()
	program := built(t)
	t.Run("who begin at the same time", func(t *testing.T) { bothBegin(t, program) })
	t.Run("who have told some pods each", func(t *testing.T) { bothHaveSome(t, program) })
}

// They begin at the same time. One has all pods, the other says whose they are; and
// when Git asks the first for them no more, while it is killed again and again, they
// go to the other.
func bothBegin(t *testing.T, program string) {
	t.Parallel()
	r := newRivals(t, program, fourPods()...)
	processes := map[string]*process{"games": r.run("games"), "tools": r.run("tools")}
	winner, loser := "games", "tools"
	eventually(t, "one with all pods", func() bool {
		if r.has("tools", 4) {
			winner, loser = "tools", "games"
		}
		return r.has(winner, 4)
	})
	eventually(t, "the other to say whose they are", func() bool { return r.refused(loser, winner) })
	r.rest()

	r.repos[winner].Git("rm", "-q", "games/game.yaml")
	r.repos[winner].Commit(elsewhere(), "no game any more")
	processes[winner].kill()
	for range 3 {
		p := r.run(winner)
		time.Sleep(200 * time.Millisecond)
		p.kill()
	}
	r.run(winner)
	eventually(t, "the other with all pods", func() bool { return r.has(loser, 4) })
	r.rest()
	for revision, times := range r.cluster.tells() {
		if times != 4 {
			t.Errorf("4 pods were told %d times of %s", times, revision)
		}
	}
}

// Each has told one pod when it finds that the other has, too: the second by the
// alphabet gives up. Later the first wants fewer pods, and the others go as well.
func bothHaveSome(t *testing.T, program string) {
	t.Parallel()
	pods := fourPods()
	for i, who := range []string{"tools", "games"} {
		pods[i].Annotations = map[string]string{api.OwnerAnnotation: fmt.Sprintf(`{"namespace":"of-%s","hotpatch":"game","cluster":"%s"}`, who, who)}
	}
	for i := range pods {
		pods[i].Labels["half"] = fmt.Sprint(i / 2)
	}
	r := newRivals(t, program, pods...)
	r.run("tools")
	eventually(t, "tools to be refused", func() bool { return statusOf(t, r.repos["tools"], "tools").Phase == api.PhaseDegraded })
	r.run("games")
	eventually(t, "games with all pods", func() bool { return r.has("games", 4) })
	r.rest()

	half := func(image, which string) map[string]string {
		return map[string]string{"games/game.yaml": strings.Replace(manifest(image)["games/game.yaml"], "{apiVersion: apps/v1, kind: Deployment, name: game}", "{selector: {matchLabels: {half: '"+which+"'}}}", 1)}
	}
	r.repos["tools"].Commit(half("b", "1"), "the second half")
	r.repos["games"].Commit(half("a", "0"), "the first half")
	eventually(t, "half for each", func() bool { return r.has("games", 2) && r.has("tools", 2) })
	r.rest()
}
